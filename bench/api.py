"""A target's routes as calls, for ingesting and verifying: the timed load is the driver's, never this."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

import httpx
import numpy as np

from bench import dialects
from bench.dialects.openai import Hit
from bench.errors import AnswerError
from bench.processes import Running
from bench.reference import F32

INGEST_TIMEOUT_S = 1800.0
BATCH = 32
# A connection idle for longer is not used again: a server may be closing it, and a window lies between two calls.
IDLE_S = 1.0


class Api:
    """Speaks a running target's dialect; raises AnswerError for anything but what it promises."""

    def __init__(self, running: Running) -> None:
        self.dialect = dialects.load(running.target.dialect, running.target.model)
        self._running = running
        self._client = httpx.Client(
            base_url=running.url,
            headers=running.target.headers,
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
        """Ingest all documents as one job; the seconds from the request to the job's end. `advance` hears counts."""
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
        """Documents in the index, where the target says."""
        return self.dialect.read_document_count(self.get(self.dialect.health_path))

    def embed(self, texts: Sequence[str]) -> tuple[F32, int | None]:
        """Vectors (n, d) in batches, and the tokens declared for them where the dialect declares any."""
        parts: list[F32] = []
        tokens = 0
        for start in range(0, len(texts), BATCH):
            raw = self.post(self.dialect.path("embeddings"), self.dialect.embed_body(texts[start : start + BATCH]))
            parts.append(self.dialect.read_embeddings(raw))
            tokens += self.dialect.read_tokens(raw) if self.dialect.counts_tokens else 0
        return np.concatenate(parts), tokens if self.dialect.counts_tokens else None

    def search(self, query: str, top_k: int, route: str = "search") -> list[Hit]:
        """The hits of one query, best first, by one of the search routes."""
        body = self.dialect.search_body(query, top_k, route)
        return self.dialect.read_search(self.post(self.dialect.path(route), body))

    def forwards(self) -> float | None:
        """The counters of texts that went through a model, summed over the roles; None when no role has one."""
        return self._counted({role.name: role.forward_counter for role in self._running.target.roles})

    def passes(self) -> float | None:
        """The same of forward passes."""
        return self._counted({role.name: role.pass_counter for role in self._running.target.roles})

    def _counted(self, counters: Mapping[str, str | None]) -> float | None:
        counts = [
            read_counter(self.get(process.url + (process.role.metrics or "/metrics")), counter)
            for process in self._running.processes
            if (counter := counters[process.role.name])
        ]
        return sum(counts) if counts else None

    def post(self, path: str, body: bytes) -> bytes:
        """The raw answer to a body, 2xx only."""
        return self._send("POST", path, body)

    def put(self, path: str, body: bytes) -> bytes:
        """The raw answer to a body that says how something should be, 2xx only."""
        return self._send("PUT", path, body)

    def get(self, path: str) -> bytes:
        """The raw answer to a path, 2xx only."""
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
    """The sum of a counter's series in Prometheus text; zero when it has none yet."""
    total = 0.0
    for line in exposition.decode().splitlines():
        series, _, value = line.rpartition(" ")
        if series.partition("{")[0] == name:
            total += float(value)
    return total
