"""The ways of searching that quality is measured of, and what a server finds by each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from bench.api import Api
from bench.datasets import Question

DEPTH = 10


@dataclass(frozen=True)
class Way:
    """A way of searching: what it adds to a request's body, and the vectors of each passage that it reads."""

    name: str
    body: dict[str, Any]
    vectors: tuple[str, ...]


@dataclass(frozen=True)
class Asked:
    """What a way found for each question, best first, and how long each answer took."""

    rankings: list[list[str]]
    took_ms: list[float]


DENSE = Way("dense", {"mode": "dense"}, ("dense",))
SPARSE = Way("sparse", {"mode": "sparse"}, ("sparse",))
HYBRID = Way("hybrid", {"mode": "hybrid"}, ("dense", "sparse"))
LATE = Way("hybrid + late", {"mode": "hybrid", "rerank": "late-interaction"}, ("dense", "sparse", "late"))


def of_server(api: Api) -> list[Way]:
    """Every way this server has: the four above, and hybrid with each cross-encoder that it lists."""
    listed = orjson.loads(api.get("/v1/models"))["data"]
    judges = [entry["id"] for entry in listed if entry["kind"] == "rerank" and entry["id"] != LATE.body["rerank"]]
    return [
        DENSE,
        SPARSE,
        HYBRID,
        LATE,
        *(Way(f"hybrid + {name}", {"mode": "hybrid", "rerank": name}, HYBRID.vectors) for name in judges),
    ]


def ask(api: Api, way: Way, questions: Sequence[Question], say: Callable[[int], None]) -> Asked:
    """Ask one question after the other; raises AnswerError for anything but results."""
    rankings, took_ms = [], []
    for done, question in enumerate(questions, 1):
        body = orjson.dumps({"query": question.text, "top_k": DEPTH, **way.body})
        started_s = time.perf_counter()
        raw = api.post("/v1/search", body)
        took_ms.append((time.perf_counter() - started_s) * 1e3)
        rankings.append([hit.id for hit in api.dialect.read_search(raw)])
        say(done)
    return Asked(rankings, took_ms)
