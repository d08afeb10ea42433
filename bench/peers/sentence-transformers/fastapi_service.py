"""Plain FastAPI: one call of the model per request, on as many threads as the model has cores."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio.to_thread
from encoder import THREADS, encode, load
from fastapi import FastAPI
from pydantic import BaseModel


class EmbeddingsRequest(BaseModel):
    """OpenAI's request, texts only."""

    input: str | list[str]
    model: str = "all-MiniLM-L6-v2"


@asynccontextmanager
async def limit_threads(_: FastAPI) -> AsyncIterator[None]:
    """Let no more handlers run at once than there are cores; more would only wait for each other."""
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    yield


app = FastAPI(title="sentence-transformers behind FastAPI", lifespan=limit_threads)
model = load()


@app.post("/v1/embeddings")
def embeddings(request: EmbeddingsRequest) -> dict[str, Any]:
    """Embed the texts of one request."""
    texts = [request.input] if isinstance(request.input, str) else request.input
    vectors = encode(model, texts).tolist()
    data = [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(vectors)]
    return {"object": "list", "data": data, "model": request.model}


@app.get("/health")
def health() -> dict[str, str]:
    """Liveness; the model was loaded before the socket was opened."""
    return {"status": "ok"}
