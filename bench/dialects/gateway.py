"""This project's contract: search, rerank and ingest, and OpenAI's embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import orjson

from bench.dialects import openai
from bench.dialects.openai import Hit, JobState, Ranked, parse
from bench.errors import AnswerError

# The fields that each search route adds to the body; the first is the contract's default.
SEARCHES: dict[str, dict[str, Any]] = {
    "search": {},
    "search-hybrid": {"mode": "hybrid"},
    "search-reranked": {"rerank": True},
    "search-filtered": {"filter": {"source": "bench"}},
}


class Dialect(openai.Dialect):
    """Request bodies and answer readers of the contract."""

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
        """Return `{"query", "top_k"}`, with a mode, a rerank or a filter for the other search routes."""
        if route not in SEARCHES:
            raise AnswerError(f"{route} is no search route; search routes are {', '.join(SEARCHES)}")
        return orjson.dumps({"query": query, "top_k": top_k, **SEARCHES[route]})

    def read_search(self, raw: bytes) -> list[Hit]:
        """Read `{"results": [{"id", "score"}]}`, in its order."""
        results = parse(raw).get("results")
        if not isinstance(results, list):
            raise AnswerError("no list of results")
        try:
            return [Hit(result["id"], float(result["score"])) for result in results]
        except (KeyError, TypeError, ValueError) as error:
            raise AnswerError(f"not a search result: {error!r}") from error

    def rerank_body(self, query: str, documents: Sequence[str]) -> bytes:
        """Return `{"query", "documents"}`, for an answer without the documents."""
        return orjson.dumps({"query": query, "documents": list(documents), "return_documents": False})

    def read_rerank(self, raw: bytes) -> list[Ranked]:
        """Read `{"results": [{"index", "relevance_score"}]}`, in its order."""
        results = parse(raw).get("results")
        if not isinstance(results, list):
            raise AnswerError("no list of results")
        try:
            return [Ranked(int(result["index"]), float(result["relevance_score"])) for result in results]
        except (KeyError, TypeError, ValueError) as error:
            raise AnswerError(f"not a ranked document: {error!r}") from error

    def ingest_body(self, documents: Mapping[str, str]) -> bytes:
        """Return `{"documents": [{"id", "text", "metadata"}]}`."""
        listed = [{"id": key, "text": text, "metadata": {"source": "bench"}} for key, text in documents.items()]
        return orjson.dumps({"documents": listed})

    def read_job_id(self, raw: bytes) -> str:
        """Read `{"job_id"}`."""
        return str(_require_field(parse(raw), "job_id"))

    def job_path(self, job_id: str) -> str:
        """Return `/v1/jobs/{job_id}`."""
        return f"/v1/jobs/{job_id}"

    def read_job(self, raw: bytes) -> JobState:
        """Read `{"status", "processed_documents", "error"}`."""
        answer = parse(raw)
        processed = answer.get("processed_documents")
        error = answer.get("error")
        return JobState(
            status=str(_require_field(answer, "status")),
            processed=processed if isinstance(processed, int) else None,
            error=str(error) if error else None,
        )


def _require_field(answer: dict[str, object], name: str) -> object:
    if answer.get(name) is None:
        raise AnswerError(f"no {name} in the answer")
    return answer[name]
