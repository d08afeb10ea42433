"""The contract of this project: search and ingest beside OpenAI's embeddings."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from bench.dialects import openai
from bench.dialects.openai import Hit, JobState, parse
from bench.errors import AnswerError


class Dialect(openai.Dialect):
    """Bodies and readers of the contract."""

    search_path = "/v1/search"
    ingest_path = "/v1/ingest"
    health_path = "/healthz"
    counts_tokens = True

    def search_body(self, query: str, top_k: int) -> bytes:
        """`{"query", "top_k"}`."""
        return orjson.dumps({"query": query, "top_k": top_k})

    def read_search(self, raw: bytes) -> list[Hit]:
        """`{"results": [{"id", "score"}]}`, in the order given."""
        results = parse(raw).get("results")
        if not isinstance(results, list):
            raise AnswerError("no list of results")
        try:
            return [Hit(result["id"], float(result["score"])) for result in results]
        except (KeyError, TypeError, ValueError) as error:
            raise AnswerError(f"not a search result: {error!r}") from error

    def ingest_body(self, documents: Mapping[str, str]) -> bytes:
        """`{"documents": [{"id", "text", "metadata"}]}`."""
        listed = [{"id": key, "text": text, "metadata": {"corpus": "squad"}} for key, text in documents.items()]
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
