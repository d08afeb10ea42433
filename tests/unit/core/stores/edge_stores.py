"""Embedded stores in a folder, and documents for them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np

from gateways.core.backend import ModelInfo
from gateways.core.profiles import Profile
from gateways.core.scoring import bm25
from gateways.core.stores.base import Passage, Vectors
from gateways.core.stores.edge.store import EdgeStore

MODELS = (
    ModelInfo("tiny", "dense", dimensions=4, max_input_tokens=8),
    ModelInfo("wide", "dense", dimensions=8, max_input_tokens=8),
    ModelInfo("splade", "sparse", dimensions=30_522, max_input_tokens=8),
    bm25.INFO,
)
DEFAULT = Profile("tiny", 4, "bm25")


def open_store(folder: Path, models: tuple[ModelInfo, ...] = MODELS) -> EdgeStore:
    """Return the store of a folder."""
    return EdgeStore(folder, DEFAULT, models, threads=1)


def passages(document_id: str, words: list[str]) -> list[Passage]:
    """Return a document of one passage per word."""
    return [Passage(f"{document_id}#{n}", document_id, word, n, n + len(word), {}, n) for n, word in enumerate(words)]


async def fill(store: EdgeStore, name: str, document_id: str, words: list[str]) -> None:
    """Write a document of one passage per word, durably."""
    collection = await store.ensure(name, DEFAULT)
    dense = np.full(collection.profile.dimensions, 0.5, np.float32)
    rows = bm25.embed(words, query=False).rows
    await collection.replace(passages(document_id, words), [Vectors(dense, row) for row in rows])
    await collection.flush()


def words_of(store: EdgeStore, name: str, document_id: str) -> list[str]:
    """Return the texts of a document's passages."""
    return [passage.text for passage in asyncio.run(store.collection(name).document(document_id))]
