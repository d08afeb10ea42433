"""The published study's routes, and OpenAI's embeddings beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from bench.dialects import gateway
from bench.dialects.openai import parse
from bench.errors import AnswerError


class Dialect(gateway.Dialect):
    """The bodies of this project's contract, which grew from the study's. Answers promise less."""

    routes: ClassVar[Mapping[str, str]] = {
        route: gateway.Dialect.routes[route] for route in ("embeddings", "search", "ingest")
    }
    counts_tokens = False

    def read_job_id(self, raw: bytes) -> str:
        """Read `{"job_id"}` or `{"id"}`."""
        answer = parse(raw)
        job_id = answer.get("job_id") or answer.get("id")
        if job_id is None:
            raise AnswerError("neither job_id nor id in the answer")
        return str(job_id)
