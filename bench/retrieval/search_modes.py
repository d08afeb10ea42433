"""The search modes whose quality is measured, and a server's answers in each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from bench.datasets import Question
from bench.errors import AnswerError
from bench.targets.api_client import Api

DEPTH = 10


@dataclass(frozen=True)
class SearchMode:
    """
    A search mode: the fields that it adds to a request's body, and the named vectors that it reads.

    `fusion` is the collection's fusion setting; None is the gateway's default.
    """

    name: str
    body: dict[str, Any]
    vectors: tuple[str, ...]
    fusion: str | None = None


@dataclass(frozen=True)
class Answers:
    """The ranking of each question, best first, and the latency of each answer."""

    rankings: list[list[str]]
    took_ms: list[float]


DENSE = SearchMode("dense", {"mode": "dense"}, ("dense",))
SPARSE = SearchMode("sparse", {"mode": "sparse"}, ("sparse",))
HYBRID = SearchMode("hybrid", {"mode": "hybrid"}, ("dense", "sparse"))
SUMMED = SearchMode("hybrid, by scores", {"mode": "hybrid"}, HYBRID.vectors, fusion="scores")
LATE = SearchMode("hybrid + late", {"mode": "hybrid", "rerank": "late-interaction"}, ("dense", "sparse", "late"))


def list_modes(api: Api) -> list[SearchMode]:
    """Return the server's modes: those above, score fusion if it has weights, and hybrid with each cross-encoder."""
    models = orjson.loads(api.get("/v1/models"))["data"]
    rerankers = [entry["id"] for entry in models if entry["kind"] == "rerank" and entry["id"] != LATE.body["rerank"]]
    return [
        DENSE,
        SPARSE,
        HYBRID,
        *([SUMMED] if _set_fusion(api, SUMMED.fusion) else []),
        LATE,
        *(SearchMode(f"hybrid + {name}", {"mode": "hybrid", "rerank": name}, HYBRID.vectors) for name in rerankers),
    ]


def search(api: Api, mode: SearchMode, questions: Sequence[Question], advance: Callable[[int], None]) -> Answers:
    """Search for one question after another; return the answers. Raises AnswerError for another answer."""
    _set_fusion(api, mode.fusion)
    rankings, took_ms = [], []
    for done, question in enumerate(questions, 1):
        body = orjson.dumps({"query": question.text, "top_k": DEPTH, **mode.body})
        started_s = time.perf_counter()
        raw = api.post("/v1/search", body)
        took_ms.append((time.perf_counter() - started_s) * 1e3)
        rankings.append([hit.id for hit in api.dialect.read_search(raw)])
        advance(done)
    return Answers(rankings, took_ms)


def _set_fusion(api: Api, fusion: str | None) -> bool:
    """Set the default collection's fusion; return whether the server supports it."""
    try:
        api.put("/v1/collections/default", orjson.dumps({"fusion": fusion}))
    except AnswerError:
        if fusion is None:
            raise
        return False
    return True
