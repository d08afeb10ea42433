"""A search over 60 passages, more than any default of its depth: how many are read, returned and explained."""

from __future__ import annotations

import asyncio
import random

import pytest

from gateways.core.inference.pseudo_backend import DEFAULT, PseudoBackend
from gateways.core.models.registry import ModelRegistry
from gateways.core.profiles import Profile
from gateways.core.scoring import bm25
from gateways.core.scoring.vectors import normalize
from gateways.core.search.pipeline import SearchResult, search
from gateways.core.search.plan import MIN_RERANK_CANDIDATES, Question
from gateways.core.stores.base import FUSION_DEPTH, Passage, Vectors
from gateways.core.stores.edge.store import EdgeStore

PASSAGES = 60
PROFILE = Profile(DEFAULT, 384, bm25.ID)
QUERY = "pump filter"
OTHER_WORDS = ("boiler", "valve", "lime", "tank", "hose")


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Return 60 texts, each with both words of the query and other words in numbers of its own."""
    chance = random.Random(7)  # noqa: S311 the same texts in every run
    return [
        " ".join(["pump", "filter"] * chance.randint(1, 3) + chance.choices(OTHER_WORDS, k=chance.randint(1, 30)))
        for _ in range(PASSAGES)
    ]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> tuple[ModelRegistry, EdgeStore]:
    """Return the models, and a store of the texts: one document each."""
    registry = ModelRegistry(PseudoBackend())
    store = EdgeStore(tmp_path_factory.mktemp("store"), PROFILE, registry.models(), threads=1)

    async def fill() -> None:
        embedded = await registry.embed(registry.model(DEFAULT), texts)
        passages = [Passage(f"{n}#0", str(n), text, 0, len(text)) for n, text in enumerate(texts)]
        rows = bm25.embed(texts, query=False).rows
        vectors = [Vectors(*pair) for pair in zip(normalize(embedded.vectors), rows, strict=True)]
        await store.collection("default").replace(passages, vectors)
        await store.collection("default").flush()

    asyncio.run(fill())
    return registry, store


def ask(engine: tuple[ModelRegistry, EdgeStore], question: Question) -> SearchResult:
    """Search."""
    return asyncio.run(search(*engine, question))


@pytest.mark.parametrize("top_k", [1, MIN_RERANK_CANDIDATES, MIN_RERANK_CANDIDATES + 1, 50, PASSAGES])
def test_a_reranked_search_returns_as_many_as_were_asked_for(
    engine: tuple[ModelRegistry, EdgeStore], top_k: int
) -> None:
    """All of `top_k` are read by the reranker, though it reads 20 by default."""
    result = ask(engine, Question(QUERY, "default", top_k=top_k, rerank=True))

    assert len({hit.passage.id for hit in result.hits}) == top_k
    scores = [hit.score for hit in result.hits]
    assert scores == sorted(scores, reverse=True)


def test_explain_gives_the_ranks_that_were_fused(engine: tuple[ModelRegistry, EdgeStore]) -> None:
    """A hit of five has its place among the 50 of each ranking that were fused, though it is behind the fifth."""
    result = ask(engine, Question(QUERY, "default", "hybrid", top_k=5, explain=True))

    assert len(result.explained) == 5
    all_ranks: list[int] = []
    for mode in ("dense", "sparse"):
        alone = ask(engine, Question(QUERY, "default", mode, top_k=FUSION_DEPTH))
        ranks = {hit.passage.id: rank for rank, hit in enumerate(alone.hits, 1)}
        expected = [ranks.get(hit.passage.id) for hit in result.hits]
        assert [entry["ranks"][mode] for entry in result.explained] == expected
        all_ranks += [rank for rank in expected if rank]
    assert max(all_ranks) > 5  # else the depth would make no difference
