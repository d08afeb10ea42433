"""OpenAI's embeddings, `POST /v1/embeddings`; the base class of all dialects."""

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
    """The state of an ingest job."""

    status: str
    processed: int | None = None
    error: str | None = None

    @property
    def finished(self) -> bool:
        """Whether the state is final."""
        return self.status in ("completed", "failed", "cancelled")


@dataclass(frozen=True)
class Ranked:
    """One document of a ranking: its position in the request, and its score."""

    index: int
    score: float


class Dialect:
    """
    Request bodies and answer readers of a target's routes.

    Every method raises AnswerError for a route that the dialect lacks and for an answer of another shape. `routes`
    maps the harness's routes (embeddings, search, search-hybrid, search-reranked, rerank, ingest) to paths.

    `model` is the requested model; "" leaves the choice to the target. `late_interaction` says that the reranker is
    MaxSim over the embedding model's token vectors, so that the reference can check its rankings.
    """

    routes: ClassVar[Mapping[str, str]] = {"embeddings": "/v1/embeddings"}
    health_path = "/health"
    counts_tokens = False
    late_interaction = False

    def __init__(self, model: str = "") -> None:
        self.model = model

    def path(self, route: str) -> str:
        """Return the path of a route."""
        if route not in self.routes:
            raise AnswerError(f"this dialect has no route {route!r}; it has {', '.join(self.routes)}")
        return self.routes[route]

    def body(self, route: str, text: str, top_k: int = 5) -> bytes:
        """Return the body for one text on the embeddings route or on a search route."""
        return self.embed_body(text) if route == "embeddings" else self.search_body(text, top_k, route)

    def embed_body(self, texts: str | Sequence[str]) -> bytes:
        """Return the body of an embeddings request."""
        body = {"input": texts if isinstance(texts, str) else list(texts)}
        return orjson.dumps({**body, "model": self.model} if self.model else body)

    def read_embeddings(self, raw: bytes) -> NDArray[np.float32]:
        """Return the vectors of an answer, float32 (n, d), in the order of the inputs."""
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
        """Return the number of prompt tokens that an embeddings answer declares."""
        usage = parse(raw).get("usage")
        if not isinstance(usage, Mapping) or not isinstance(usage.get("prompt_tokens"), int):
            raise AnswerError("no usage.prompt_tokens")
        return int(usage["prompt_tokens"])

    def search_body(self, query: str, top_k: int, route: str = "search") -> bytes:
        """Return the body of a request on a search route."""
        raise AnswerError(f"this dialect has no {route}")

    def read_search(self, raw: bytes) -> list[Hit]:
        """Return the results of a search answer, best first."""
        raise AnswerError("this dialect has no search")

    def rerank_body(self, query: str, documents: Sequence[str]) -> bytes:
        """Return the body of a rerank request."""
        raise AnswerError("this dialect has no rerank")

    def read_rerank(self, raw: bytes) -> list[Ranked]:
        """Return the documents of a rerank answer, best first."""
        raise AnswerError("this dialect has no rerank")

    def ingest_body(self, documents: Mapping[str, str]) -> bytes:
        """Return the body that ingests `documents`, id to text."""
        raise AnswerError("this dialect has no ingest")

    def read_job_id(self, raw: bytes) -> str:
        """Return the job id of an ingest answer."""
        raise AnswerError("this dialect has no ingest")

    def job_path(self, job_id: str) -> str:
        """Return the path of a job."""
        raise AnswerError("this dialect has no ingest")

    def read_job(self, raw: bytes) -> JobState:
        """Return the state of a job answer."""
        raise AnswerError("this dialect has no ingest")

    def read_document_count(self, raw: bytes) -> int | None:
        """Return the document count of a health answer; None if it has none."""
        count = parse(raw).get("document_count")
        return count if isinstance(count, int) else None

    def check(self, route: str, raw: bytes, items: int = 1) -> bool:
        """
        Whether the answer to a request with `items` texts or documents is not empty.

        Raises AnswerError for another shape. It must be cheap, because the driver checks every answer.
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
    """Whether no vector is empty. Raises AnswerError unless `vectors` are `items` lists of numbers."""
    if len(vectors) != items or not all(_is_vector(vector) for vector in vectors):
        raise AnswerError(f"not {items} vectors of numbers")
    return all(vectors)


def check_ranking(ranking: Sequence[Ranked], items: int) -> bool:
    """Return True for a ranking of `items` documents, each once, best first, with finite scores; else AnswerError."""
    if sorted(ranked.index for ranked in ranking) != list(range(items)):
        raise AnswerError(f"a ranking of {len(ranking)} that does not hold each of {items} documents once")
    scores = [ranked.score for ranked in ranking]
    if not all(map(math.isfinite, scores)) or scores != sorted(scores, reverse=True):
        raise AnswerError("the scores of the ranking are not finite, or do not descend")
    return True


def _is_vector(value: object) -> bool:
    return isinstance(value, list) and set(map(type, value)) <= {float, int}


def parse(raw: bytes) -> dict[str, Any]:
    """Parse a JSON object. Raises AnswerError for anything else."""
    answer = parse_json(raw)
    if not isinstance(answer, dict):
        raise AnswerError(f"not an object: {raw[:80]!r}")
    return answer


def parse_json(raw: bytes) -> Any:
    """Parse JSON. Raises AnswerError if `raw` is not JSON."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise AnswerError(f"not JSON: {raw[:80]!r}") from error
