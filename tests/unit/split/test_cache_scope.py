"""The rerank cache of an embed service tells a limited key nothing of the texts of another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import httpx
import numpy as np

from gateways.core import tenants
from gateways.core.app.create_app import assemble
from gateways.core.backend import DEFAULT_OPTIONS, EncodeOptions, Scores, Times
from gateways.core.cache.token_vector_cache import Read
from gateways.core.inference.late_reranker import LateReranker
from gateways.core.inference.pseudo_backend import DEFAULT, PseudoBackend
from gateways.core.observability import metrics
from gateways.core.process_settings import EmbedServiceSettings
from gateways.core.settings import UpstreamSettings
from gateways.core.tenants import Tenant
from gateways.split import wire_format
from gateways.split.embed_service.routes import router
from gateways.split.gateway.dialects.base import Ask, T
from gateways.split.gateway.dialects.native import Native


class CachingBackend(PseudoBackend):
    """Hashed words behind the reranker and the cache of an embed service."""

    def __init__(self) -> None:
        super().__init__()
        self._reranker = LateReranker(self._encode, 1_000_000)

    async def rerank(
        self, model: str, query: str, documents: Sequence[str], options: EncodeOptions = DEFAULT_OPTIONS
    ) -> Scores:
        """Score n documents by the token vectors that are cached."""
        return await self._reranker.rerank(DEFAULT, query, documents, options)

    async def _encode(self, model: str, texts: Sequence[str], options: EncodeOptions) -> tuple[list[Read], Times]:
        answer = await self.embed_tokens(model, texts, options)
        parts = np.split(answer.vectors, np.cumsum(answer.token_counts)[:-1])
        reads = [Read(part, tokens) for part, tokens in zip(parts, answer.token_counts, strict=True)]
        return reads, Times(tokenize_ms=0.0, queue_ms=0.0, infer_ms=0.0)


def count_hits() -> float:
    """Return the texts to rerank that were in the cache of this process."""
    return float(metrics.registry.get_sample_value("gateway_rerank_cache_hits_total") or 0)


async def rerank_as(http: httpx.AsyncClient, tenant: Tenant | None) -> float:
    """Rerank through the thin gateway's dialect for a key; return how many texts were in the cache."""

    async def send(ask: Ask[T]) -> T:
        answer = await http.post(f"/{ask.path}", content=ask.body, headers=ask.headers)
        assert answer.status_code == 200, answer.text
        return ask.read(answer.content)

    if tenant:
        tenants.enter(tenant)
    before = count_hits()
    await Native(UpstreamSettings()).rerank(
        send, "late-interaction", "which words", ["some words", "others"], DEFAULT_OPTIONS
    )
    return count_hits() - before


async def nothing() -> None:
    """Start and stop nothing."""


async def exchange() -> tuple[list[float], httpx.Response]:
    """Rerank for three keys and without one; return the hits of each, and the answer to a wrong scope."""
    settings = EmbedServiceSettings()
    app = assemble("embed", [router(CachingBackend(), settings)], settings, nothing, nothing)
    alpha, beta, owner = Tenant("alpha", ("a",)), Tenant("beta", ("b",)), Tenant("owner")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://embed") as http:
        hits = [
            await asyncio.create_task(rerank_as(http, tenant)) for tenant in (alpha, beta, alpha, owner, None, beta)
        ]
        headers = {wire_format.CACHE_SCOPE: "x" * 65}
        return hits, await http.post("/rerank", json={"query": "q", "documents": ["d"]}, headers=headers)


def test_the_rerank_cache_is_apart_for_each_limited_key() -> None:
    """A text that another key reranked is computed anew; the same key finds it. Keys without a limit share."""
    hits, wrong = asyncio.run(exchange())

    assert hits == [0, 0, 3, 0, 3, 3]
    assert wrong.status_code == 400
    assert "1 to 64 letters" in wrong.json()["error"]["message"]
