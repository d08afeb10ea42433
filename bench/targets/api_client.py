"""An API client for ingestion and verification. The driver sends the timed load, never this client."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

import httpx
import numpy as np

from bench import dialects
from bench.arrays import F32
from bench.dialects.openai import Hit
from bench.errors import AnswerError
from bench.targets.processes import Server

INGEST_TIMEOUT_S = 1800.0
BATCH = 32
# Do not reuse a connection that was idle for longer, because the server may be closing it after a window.
IDLE_S = 1.0


class Api:
    """Calls a server in its dialect. Every method raises AnswerError for an answer that breaks the contract."""

    def __init__(self, server: Server) -> None:
        self.dialect = dialects.load(server.target.dialect, server.target.model)
        self._server = server
        self._client = httpx.Client(
            base_url=server.url,
            headers=server.target.headers,
            limits=httpx.Limits(keepalive_expiry=IDLE_S),
            trust_env=False,
            timeout=120,
        )

    def __enter__(self) -> Api:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def ingest(self, documents: Mapping[str, str], advance: Callable[[int], None]) -> float:
        """
        Ingest all documents as one job; return the seconds from the request to the end of the job.

        `advance` is called with the number of processed documents.
        """
        start = time.perf_counter()
        body = self.dialect.ingest_body(documents)
        job_id = self.dialect.read_job_id(self.post(self.dialect.path("ingest"), body))
        while True:
            job = self.dialect.read_job(self.get(self.dialect.job_path(job_id)))
            seconds = time.perf_counter() - start
            if job.status == "completed":
                return seconds
            if job.finished or seconds > INGEST_TIMEOUT_S:
                raise AnswerError(f"ingest job {job.status} after {seconds:.0f} s: {job.error or 'no reason given'}")
            advance(job.processed or 0)
            time.sleep(0.1)

    def document_count(self) -> int | None:
        """Return the number of documents in the index; None if the target does not report it."""
        return self.dialect.read_document_count(self.get(self.dialect.health_path))

    def embed(self, texts: Sequence[str]) -> tuple[F32, int | None]:
        """Embed in batches; return the vectors (n, d) and the declared tokens, None in a dialect without them."""
        parts: list[F32] = []
        tokens = 0
        for start in range(0, len(texts), BATCH):
            raw = self.post(self.dialect.path("embeddings"), self.dialect.embed_body(texts[start : start + BATCH]))
            parts.append(self.dialect.read_embeddings(raw))
            tokens += self.dialect.read_tokens(raw) if self.dialect.counts_tokens else 0
        return np.concatenate(parts), tokens if self.dialect.counts_tokens else None

    def search(self, query: str, top_k: int, route: str = "search") -> list[Hit]:
        """Return the hits of one query on a search route, best first."""
        body = self.dialect.search_body(query, top_k, route)
        return self.dialect.read_search(self.post(self.dialect.path(route), body))

    def forwards(self) -> float | None:
        """Return the sum of the roles' counters of forward-passed texts; None if no role has one."""
        return self._sum_counters({role.name: role.forward_counter for role in self._server.target.roles})

    def passes(self) -> float | None:
        """Return the sum of the roles' counters of forward passes; None if no role has one."""
        return self._sum_counters({role.name: role.pass_counter for role in self._server.target.roles})

    def _sum_counters(self, counters: Mapping[str, str | None]) -> float | None:
        counts = [
            read_counter(self.get(process.url + (process.role.metrics or "/metrics")), counter)
            for process in self._server.processes
            if (counter := counters[process.role.name])
        ]
        return sum(counts) if counts else None

    def post(self, path: str, body: bytes) -> bytes:
        """Post a body; return the raw 2xx answer."""
        return self._send("POST", path, body)

    def put(self, path: str, body: bytes) -> bytes:
        """Put a body; return the raw 2xx answer."""
        return self._send("PUT", path, body)

    def get(self, path: str) -> bytes:
        """Get a path; return the raw 2xx answer."""
        return self._send("GET", path, None)

    def _send(self, method: str, path: str, body: bytes | None) -> bytes:
        try:
            answer = self._client.request(method, path, content=body, headers={"content-type": "application/json"})
        except httpx.HTTPError as error:
            raise AnswerError(f"{method} {path}: {error!r}") from error
        if not answer.is_success:
            raise AnswerError(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
        return answer.content


def read_counter(exposition: bytes, name: str) -> float:
    """Return the sum of a counter's series in Prometheus text; 0.0 without a series."""
    total = 0.0
    for line in exposition.decode().splitlines():
        series, _, value = line.rpartition(" ")
        if series.partition("{")[0] == name:
            total += float(value)
    return total
