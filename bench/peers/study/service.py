"""
The published study's Python gateway, written afresh from its description.

One process, synchronous handlers on FastAPI's thread pool, one sentence-transformers call per request, cosine
scan over a NumPy matrix. Nothing here is tuned: this is the baseline.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from threading import Lock
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from fastapi import BackgroundTasks, FastAPI, HTTPException
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field
from sentence_transformers import SentenceTransformer

F32 = npt.NDArray[np.float32]
DEVICE = os.environ.get("DEVICE", "cpu")
EARLY_RETURN_ON_EMPTY = os.environ.get("EARLY_RETURN_ON_EMPTY") == "1"


class Document(BaseModel):
    """One text to store."""

    id: str
    text: str
    metadata: dict[str, Any] = Field(default_factory=dict)


class IngestRequest(BaseModel):
    """A batch of documents."""

    documents: list[Document]


class Job(BaseModel):
    """Where an ingest stands."""

    job_id: str
    status: Literal["pending", "running", "completed", "failed"] = "pending"
    total_documents: int
    processed_documents: int = 0
    error: str | None = None


class SearchRequest(BaseModel):
    """A query and how many answers it wants."""

    query: str
    top_k: int = Field(default=5, ge=1)


class SearchResult(BaseModel):
    """One stored document and its cosine to the query."""

    id: str
    score: float
    text: str
    metadata: dict[str, Any]


class SearchResponse(BaseModel):
    """Best first, with the handler's own wall time in milliseconds."""

    results: list[SearchResult]
    took_ms: float


class EmbeddingsRequest(BaseModel):
    """OpenAI's request, texts only."""

    input: str | list[str]
    model: str = "all-MiniLM-L6-v2"


class Embedding(BaseModel):
    """One vector in OpenAI's shape."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float]


class EmbeddingsResponse(BaseModel):
    """OpenAI's answer, without a token count: the study never counts tokens."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str


class VectorIndex:
    """
    Documents and their unit vectors; a search is one matrix product.

    `early_return` answers an empty index before anything is embedded. The study was published that way and
    never ingested a document, so its model never ran while it was timed.
    """

    def __init__(self, encode: Callable[..., F32], early_return: bool) -> None:
        self.embedded = 0
        self._encode = encode
        self._early_return = early_return
        self._documents: list[Document] = []
        self._vectors: F32 | None = None
        self._lock = Lock()

    @property
    def count(self) -> int:
        """Documents stored."""
        return len(self._documents)

    def embed(self, texts: list[str]) -> F32:
        """Unit vectors of the texts: n -> (n, dimensions)."""
        vectors = self._encode(texts, normalize_embeddings=True, show_progress_bar=False)
        with self._lock:
            self.embedded += len(texts)
        return vectors

    def add(self, documents: list[Document]) -> None:
        """Embed and append; an id given twice is stored twice."""
        vectors = self.embed([document.text for document in documents])
        with self._lock:
            # The matrix is replaced after the list grew: a search never sees a row without its document.
            self._documents.extend(documents)
            self._vectors = vectors if self._vectors is None else np.vstack([self._vectors, vectors])

    def search(self, query: str, top_k: int) -> list[SearchResult]:
        """The `top_k` documents with the highest cosine to the query, best first."""
        if self._early_return and self._vectors is None:
            return []
        vector = self.embed([query])[0]
        vectors = self._vectors
        if vectors is None:
            return []
        scores = vectors @ vector
        best = np.argsort(-scores)[:top_k]
        return [SearchResult(score=float(scores[i]), **dict(self._documents[i])) for i in best]


app = FastAPI(title="Study baseline")
model = SentenceTransformer(os.environ["MODEL_PATH"], device=None if DEVICE == "auto" else DEVICE)
index = VectorIndex(model.encode, EARLY_RETURN_ON_EMPTY)
jobs: dict[str, Job] = {}


def run_ingest(job: Job, documents: list[Document]) -> None:
    """Embed and store the documents, after the 202 has been sent."""
    job.status = "running"
    try:
        index.add(documents)
    except Exception as exc:
        job.status, job.error = "failed", repr(exc)
        raise
    job.status, job.processed_documents = "completed", len(documents)


@app.post("/v1/ingest", status_code=202)
def ingest(request: IngestRequest, background: BackgroundTasks) -> Job:
    """Accept the documents; the job lives in this process's memory only."""
    job = Job(job_id=uuid.uuid4().hex, total_documents=len(request.documents))
    jobs[job.job_id] = job
    background.add_task(run_ingest, job, request.documents)
    return job


@app.get("/v1/jobs/{job_id}")
def job_status(job_id: str) -> Job:
    """Answer the job, or 404."""
    if job_id not in jobs:
        raise HTTPException(404, f"no job {job_id}")
    return jobs[job_id]


@app.post("/v1/search")
def search(request: SearchRequest) -> SearchResponse:
    """Embed the query and scan the index."""
    started = time.perf_counter()
    hits = index.search(request.query, request.top_k)
    return SearchResponse(results=hits, took_ms=(time.perf_counter() - started) * 1000)


@app.post("/v1/embeddings")
def embeddings(request: EmbeddingsRequest) -> EmbeddingsResponse:
    """Embed the texts as the search does; the study has no such route, embed-only comparisons need one."""
    texts = [request.input] if isinstance(request.input, str) else request.input
    data = [Embedding(index=i, embedding=vector.tolist()) for i, vector in enumerate(index.embed(texts))]
    return EmbeddingsResponse(data=data, model=request.model)


@app.get("/healthz")
def healthz() -> dict[str, Any]:
    """Liveness; the model was loaded before the socket was opened."""
    return {"status": "ok", "model_loaded": True, "document_count": index.count}


@app.get("/metrics", response_class=PlainTextResponse)
def metrics() -> str:
    """One Prometheus counter, so that a harness can see whether the model ran; ours, not the study's."""
    name = "study_forward_texts_total"
    return f"# TYPE {name} counter\n{name} {index.embedded}\n"
