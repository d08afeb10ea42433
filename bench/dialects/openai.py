"""OpenAI's embeddings: `POST /v1/embeddings`, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import orjson
from numpy.typing import NDArray

from bench.errors import AnswerError


@dataclass(frozen=True)
class Hit:
    """One result of a search."""

    id: str
    score: float


@dataclass(frozen=True)
class JobState:
    """How far an ingest job is."""

    status: str
    processed: int | None = None
    error: str | None = None

    @property
    def finished(self) -> bool:
        """Whether it will not change any more."""
        return self.status in ("completed", "failed", "cancelled")


@dataclass(frozen=True)
class Ranked:
    """One document as a reranker placed it: its position in the request, and its score."""

    index: int
    score: float


class Dialect:
    """
    Bodies and readers of a target's routes; every one raises AnswerError for a route the dialect does not have.

    `routes` maps the harness' routes (embeddings, search, search-hybrid, search-reranked, rerank, ingest) to paths.
    `model` is the name to ask for; "" leaves it to the target. `late_interaction` says that what reranks is MaxSim
    over the embedding model's own token vectors, so that rankings can be held to the reference.
    """

    routes: ClassVar[Mapping[str, str]] = {"embeddings": "/v1/embeddings"}
    health_path = "/health"
    counts_tokens = False
    late_interaction = False

    def __init__(self, model: str = "") -> None:
        self.model = model

    def path(self, route: str) -> str:
        """The path of a route."""
        if route not in self.routes:
            raise AnswerError(f"this dialect has no route {route!r}; it has {', '.join(self.routes)}")
        return self.routes[route]

    def body(self, route: str, text: str, top_k: int = 5) -> bytes:
        """The body that asks one text of embeddings or of a search."""
        return self.embed_body(text) if route == "embeddings" else self.search_body(text, top_k, route)

    def embed_body(self, texts: str | Sequence[str]) -> bytes:
        """The body of an embeddings request."""
        asked = {"input": texts if isinstance(texts, str) else list(texts)}
        return orjson.dumps({**asked, "model": self.model} if self.model else asked)

    def read_embeddings(self, raw: bytes) -> NDArray[np.float32]:
        """The vectors of an answer, float32 (n, d), in the order of the inputs."""
        rows = parse(raw).get("data")
        try:
            ordered = sorted(rows or [], key=lambda row: row["index"])
            vectors = np.array([row["embedding"] for row in ordered], dtype=np.float32)
        except (KeyError, TypeError, ValueError) as error:
            raise AnswerError(f"not an embeddings answer: {error!r}") from error
        if vectors.ndim != 2 or not np.isfinite(vectors).all():
            raise AnswerError(f"vectors of shape {vectors.shape}, or not finite")
        return vectors

    def read_tokens(self, raw: bytes) -> int:
        """The prompt tokens an embeddings answer declares."""
        usage = parse(raw).get("usage")
        if not isinstance(usage, Mapping) or not isinstance(usage.get("prompt_tokens"), int):
            raise AnswerError("no usage.prompt_tokens")
        return int(usage["prompt_tokens"])

    def search_body(self, query: str, top_k: int, route: str = "search") -> bytes:
        """The body of a search request of one of the search routes."""
        raise AnswerError(f"this dialect has no {route}")

    def read_search(self, raw: bytes) -> list[Hit]:
        """The results of a search answer, best first."""
        raise AnswerError("this dialect has no search")

    def rerank_body(self, query: str, documents: Sequence[str]) -> bytes:
        """The body that ranks documents by how well they answer."""
        raise AnswerError("this dialect has no rerank")

    def read_rerank(self, raw: bytes) -> list[Ranked]:
        """The documents of a rerank answer, best first."""
        raise AnswerError("this dialect has no rerank")

    def ingest_body(self, documents: Mapping[str, str]) -> bytes:
        """The body that ingests documents, id to text."""
        raise AnswerError("this dialect has no ingest")

    def read_job_id(self, raw: bytes) -> str:
        """The id of the job an ingest answer names."""
        raise AnswerError("this dialect has no ingest")

    def job_path(self, job_id: str) -> str:
        """Where to ask for a job."""
        raise AnswerError("this dialect has no ingest")

    def read_job(self, raw: bytes) -> JobState:
        """The state in a job answer."""
        raise AnswerError("this dialect has no ingest")

    def read_document_count(self, raw: bytes) -> int | None:
        """The number of documents in a health answer; None when it does not say."""
        count = parse(raw).get("document_count")
        return count if isinstance(count, int) else None

    def check(self, route: str, raw: bytes, items: int = 1) -> bool:
        """
        Whether an answer about so many texts or documents holds anything; raises AnswerError for another shape.

        Cheap: it is done for every answer.
        """
        if route == "embeddings":
            return self._check_embeddings(raw, items)
        if route == "rerank":
            return check_ranking(self.read_rerank(raw), items)
        if route == "ingest":
            return bool(self.read_job_id(raw))
        return bool(self.read_search(raw))

    def _check_embeddings(self, raw: bytes, items: int) -> bool:
        rows = parse(raw).get("data")
        return check_vectors([row.get("embedding") for row in rows] if isinstance(rows, list) else [], items)


def check_vectors(vectors: Sequence[object], items: int) -> bool:
    """Whether none of so many lists of numbers is empty; raises AnswerError for anything else than that many."""
    if len(vectors) != items or not all(_is_vector(vector) for vector in vectors):
        raise AnswerError(f"not {items} vectors of numbers")
    return all(vectors)


def check_ranking(ranking: Sequence[Ranked], items: int) -> bool:
    """True for every document once, best first, with a finite score; raises AnswerError for anything else."""
    if sorted(ranked.index for ranked in ranking) != list(range(items)):
        raise AnswerError(f"a ranking of {len(ranking)} that does not hold each of {items} documents once")
    scores = [ranked.score for ranked in ranking]
    if not all(map(math.isfinite, scores)) or scores != sorted(scores, reverse=True):
        raise AnswerError("a ranking whose scores are not finite, or do not descend")
    return True


def _is_vector(value: object) -> bool:
    return isinstance(value, list) and set(map(type, value)) <= {float, int}


def parse(raw: bytes) -> dict[str, Any]:
    """A JSON object; raises AnswerError for anything else."""
    answer = parse_json(raw)
    if not isinstance(answer, dict):
        raise AnswerError(f"not an object: {raw[:80]!r}")
    return answer


def parse_json(raw: bytes) -> Any:
    """Any JSON; raises AnswerError for what is none."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise AnswerError(f"not JSON: {raw[:80]!r}") from error
