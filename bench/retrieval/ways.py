"""The ways of searching that quality is measured of, and what a server finds by each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from bench.api import Api
from bench.datasets import Question
from bench.errors import AnswerError

DEPTH = 10


@dataclass(frozen=True)
class Way:
    """
    A way of searching: what it adds to a request's body, and the vectors of each passage that it reads.

    `fusion` is how the collection fuses meanwhile; None leaves it to the gateway.
    """

    name: str
    body: dict[str, Any]
    vectors: tuple[str, ...]
    fusion: str | None = None


@dataclass(frozen=True)
class Asked:
    """What a way found for each question, best first, and how long each answer took."""

    rankings: list[list[str]]
    took_ms: list[float]


DENSE = Way("dense", {"mode": "dense"}, ("dense",))
SPARSE = Way("sparse", {"mode": "sparse"}, ("sparse",))
HYBRID = Way("hybrid", {"mode": "hybrid"}, ("dense", "sparse"))
SUMMED = Way("hybrid, by scores", {"mode": "hybrid"}, HYBRID.vectors, fusion="scores")
LATE = Way("hybrid + late", {"mode": "hybrid", "rerank": "late-interaction"}, ("dense", "sparse", "late"))


def of_server(api: Api) -> list[Way]:
    """Every way this server has: those above, by scores where it has weights, and hybrid with each cross-encoder."""
    listed = orjson.loads(api.get("/v1/models"))["data"]
    judges = [entry["id"] for entry in listed if entry["kind"] == "rerank" and entry["id"] != LATE.body["rerank"]]
    return [
        DENSE,
        SPARSE,
        HYBRID,
        *([SUMMED] if _fuses(api, SUMMED.fusion) else []),
        LATE,
        *(Way(f"hybrid + {name}", {"mode": "hybrid", "rerank": name}, HYBRID.vectors) for name in judges),
    ]


def ask(api: Api, way: Way, questions: Sequence[Question], say: Callable[[int], None]) -> Asked:
    """Ask one question after the other; raises AnswerError for anything but results."""
    _fuses(api, way.fusion)
    rankings, took_ms = [], []
    for done, question in enumerate(questions, 1):
        body = orjson.dumps({"query": question.text, "top_k": DEPTH, **way.body})
        started_s = time.perf_counter()
        raw = api.post("/v1/search", body)
        took_ms.append((time.perf_counter() - started_s) * 1e3)
        rankings.append([hit.id for hit in api.dialect.read_search(raw)])
        say(done)
    return Asked(rankings, took_ms)


def _fuses(api: Api, fusion: str | None) -> bool:
    """Have the default collection fuse so; say whether it can."""
    try:
        api.put("/v1/collections/default", orjson.dumps({"fusion": fusion}))
    except AnswerError:
        if fusion is None:
            raise
        return False
    return True
