"""The requests of a soak: random kinds, random sizes, and no text twice."""

from __future__ import annotations

import random
import sys
import time
from typing import Any

import httpx

from bench.datasets import squad
from scripts.soak.record import Record

# Status codes that a client may see. While a process is down clients get 503 or no connection (0).
EXPECTED = {200, 202, 429, 503, 0}


class Load:
    """Sends random requests. `documents` limits the number of different document ids; None means no limit."""

    def __init__(self, http: httpx.AsyncClient, record: Record, seed: int, documents: int | None) -> None:
        self._http = http
        self._documents = documents
        self._record = record
        self._random = random.Random(seed)  # noqa: S311
        dataset = squad.load()
        self._words = " ".join(dataset.passages.values()).split()
        self._number = 0

    def text(self, min_words: int, max_words: int) -> str:
        """Return a random part of the corpus after a serial number, so that no text is sent twice."""
        self._number += 1
        length = self._random.randint(min_words, max_words)
        start = self._random.randrange(len(self._words) - length)
        return f"{self._number} {' '.join(self._words[start : start + length])}"

    async def send_request(self) -> None:
        """Send one request of a random kind, and record its status and latency."""
        kind = self._random.random()
        started_s = time.perf_counter()
        if kind < 0.5:
            status, _ = await self._post("/v1/search", {"query": self.text(3, 20)})
        elif kind < 0.85:
            status, _ = await self._post("/v1/embeddings", {"input": self.text(1, 120)})
        elif kind < 0.93:
            texts = [self.text(5, 120) for _ in range(self._random.randint(2, 24))]
            status, _ = await self._post("/v1/embeddings", {"input": texts})
        elif kind < 0.96:
            documents = [self.text(20, 120) for _ in range(self._random.randint(2, 12))]
            status, _ = await self._post("/v1/rerank", {"query": self.text(3, 12), "documents": documents})
        else:
            status = await self._ingest()
        self._record.answers[status] += 1
        if status == 200:
            self._record.latencies_s.append(time.perf_counter() - started_s)

    async def _ingest(self) -> int:
        texts = [self.text(20, 120) for _ in range(self._random.randint(1, 8))]
        numbers = [int(text.split()[0]) % (self._documents or sys.maxsize) for text in texts]
        documents = [{"id": f"soak-{number}", "text": text} for number, text in zip(numbers, texts, strict=True)]
        status, answer = await self._post("/v1/ingest", {"documents": documents})
        if status == 202:
            self._record.jobs[answer["job_id"]] = [document["id"] for document in documents]
        return status

    async def _post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        try:
            response = await self._http.post(path, json=body)
        except httpx.TransportError:
            return 0, None
        if response.status_code not in EXPECTED:
            self._record.errors.append(f"{path}: {response.status_code} {response.text[:200]}")
        return response.status_code, response.json()
