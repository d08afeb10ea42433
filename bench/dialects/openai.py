"""OpenAI's embeddings: `POST /v1/embeddings`, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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


class Dialect:
    """Bodies and readers of the embeddings route; every reader raises AnswerError for another shape."""

    embed_path = "/v1/embeddings"
    search_path = ""
    ingest_path = ""
    health_path = "/health"
    counts_tokens = False

    def path(self, route: str) -> str:
        """The path of `search` or `embeddings`."""
        return self.search_path if route == "search" else self.embed_path

    def body(self, route: str, text: str, top_k: int = 5) -> bytes:
        """The body that asks one text of a route."""
        return self.search_body(text, top_k) if route == "search" else self.embed_body(text)

    def embed_body(self, texts: str | Sequence[str]) -> bytes:
        """The body of an embeddings request."""
        return orjson.dumps({"input": texts if isinstance(texts, str) else list(texts)})

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

    def search_body(self, query: str, top_k: int) -> bytes:
        """The body of a search request."""
        raise AnswerError("this dialect has no search")

    def read_search(self, raw: bytes) -> list[Hit]:
        """The results of a search answer, best first."""
        raise AnswerError("this dialect has no search")

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
        Whether an answer to so many texts holds anything; raises AnswerError for another shape.

        Cheap: it is done for every answer.
        """
        if route == "search":
            return bool(self.read_search(raw))
        rows = parse(raw).get("data")
        vectors = [row.get("embedding") for row in rows] if isinstance(rows, list) else []
        if len(vectors) != items or not all(_is_vector(vector) for vector in vectors):
            raise AnswerError(f"not {items} vectors of numbers")
        return all(vectors)


def _is_vector(value: object) -> bool:
    return isinstance(value, list) and set(map(type, value)) <= {float, int}


def parse(raw: bytes) -> dict[str, Any]:
    """A JSON object; raises AnswerError for anything else."""
    try:
        answer = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise AnswerError(f"not JSON: {raw[:80]!r}") from error
    if not isinstance(answer, dict):
        raise AnswerError(f"not an object: {raw[:80]!r}")
    return answer
