"""The contract of this project: search, rerank and ingest beside OpenAI's embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import orjson

from bench.dialects import openai
from bench.dialects.openai import Hit, JobState, Ranked, parse
from bench.errors import AnswerError

# What each way of searching adds to the body; the first is the default of the contract.
SEARCHES: dict[str, dict[str, Any]] = {
    "search": {},
    "search-hybrid": {"mode": "hybrid"},
    "search-reranked": {"rerank": True},
}


class Dialect(openai.Dialect):
    """Bodies and readers of the contract."""

    routes: ClassVar[Mapping[str, str]] = {
        **openai.Dialect.routes,
        **dict.fromkeys(SEARCHES, "/v1/search"),
        "rerank": "/v1/rerank",
        "ingest": "/v1/ingest",
    }
    health_path = "/healthz"
    counts_tokens = True
    late_interaction = True

    def search_body(self, query: str, top_k: int, route: str = "search") -> bytes:
        """`{"query", "top_k"}`, with `"mode": "hybrid"` or `"rerank": true` for the other two routes."""
        if route not in SEARCHES:
            raise AnswerError(f"{route} is not asked with one text; what is: {', '.join(SEARCHES)}")
        return orjson.dumps({"query": query, "top_k": top_k, **SEARCHES[route]})

    def read_search(self, raw: bytes) -> list[Hit]:
        """`{"results": [{"id", "score"}]}`, in the order given."""
        results = parse(raw).get("results")
        if not isinstance(results, list):
            raise AnswerError("no list of results")
        try:
            return [Hit(result["id"], float(result["score"])) for result in results]
        except (KeyError, TypeError, ValueError) as error:
            raise AnswerError(f"not a search result: {error!r}") from error

    def rerank_body(self, query: str, documents: Sequence[str]) -> bytes:
        """`{"query", "documents"}`; what comes back leaves the documents out."""
        return orjson.dumps({"query": query, "documents": list(documents), "return_documents": False})

    def read_rerank(self, raw: bytes) -> list[Ranked]:
        """`{"results": [{"index", "relevance_score"}]}`, in the order given."""
        results = parse(raw).get("results")
        if not isinstance(results, list):
            raise AnswerError("no list of results")
        try:
            return [Ranked(int(result["index"]), float(result["relevance_score"])) for result in results]
        except (KeyError, TypeError, ValueError) as error:
            raise AnswerError(f"not a ranked document: {error!r}") from error

    def ingest_body(self, documents: Mapping[str, str]) -> bytes:
        """`{"documents": [{"id", "text", "metadata"}]}`."""
        listed = [{"id": key, "text": text, "metadata": {"source": "bench"}} for key, text in documents.items()]
        return orjson.dumps({"documents": listed})

    def read_job_id(self, raw: bytes) -> str:
        """`{"job_id"}`."""
        return str(_field(parse(raw), "job_id"))

    def job_path(self, job_id: str) -> str:
        """`/v1/jobs/{id}`."""
        return f"/v1/jobs/{job_id}"

    def read_job(self, raw: bytes) -> JobState:
        """`{"status", "processed_documents", "error"}`."""
        answer = parse(raw)
        processed = answer.get("processed_documents")
        error = answer.get("error")
        return JobState(
            status=str(_field(answer, "status")),
            processed=processed if isinstance(processed, int) else None,
            error=str(error) if error else None,
        )


def _field(answer: dict[str, object], name: str) -> object:
    if answer.get(name) is None:
        raise AnswerError(f"no {name} in the answer")
    return answer[name]
