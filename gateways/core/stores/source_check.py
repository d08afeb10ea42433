"""The sources of stored vectors, compared with the models that a gateway serves."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from gateways.core.backend import ModelInfo
from gateways.core.profiles import Profile, StoreMismatch
from gateways.core.stores.base import VectorStore
from gateways.core.vector_source import VectorSource, describe_differences, find_source

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SourceMismatch:
    """The source of a collection's vectors, and the one of the vectors that the models served would make."""

    stored: VectorSource
    served: VectorSource


async def check_sources(store: VectorStore, models: Sequence[ModelInfo], *, allow: bool) -> None:
    """
    Compare the vectors of all collections with the models served. Empty collections take the source of the models.

    Raises StoreMismatch for the first collection with another source; with `allow` each one is a warning instead.
    """
    await store.refresh(counts=True)
    for collection in store.collections():
        profile, name = collection.profile, collection.name
        served = find_source(models, profile.embedding_model, profile.sparse_model)
        if not collection.documents and served != profile.vector_source:
            await store.put(name, profile.with_source(served))
    for name, mismatch in find_mismatches(store, models).items():
        error = _mismatch_error(name, store.collection(name).profile, mismatch)
        if not allow:
            raise error
        log.warning("%s", error)


def find_mismatches(store: VectorStore, models: Sequence[ModelInfo]) -> dict[str, SourceMismatch]:
    """Return the collections whose vectors have another source than new ones would have. An unknown one agrees."""
    mismatches = {}
    for collection in store.collections():
        profile = collection.profile
        stored, served = profile.vector_source, find_source(models, profile.embedding_model, profile.sparse_model)
        if stored and served and stored.differences(served):
            mismatches[collection.name] = SourceMismatch(stored, served)
    return mismatches


def _mismatch_error(name: str, profile: Profile, mismatch: SourceMismatch) -> StoreMismatch:
    stored, served = describe_differences(mismatch.stored, mismatch.served)
    precision = mismatch.stored.precision
    hint = f" (PRECISION={precision})" if precision != mismatch.served.precision else ""
    return StoreMismatch(
        f"collection {name!r} holds vectors of {profile.embedding_model} with {stored}, and this gateway serves "
        f"{served}. Serve the model as before{hint}, or build the vectors again. With STORE=edge "
        "`python -m gateways.admin reindex` does so; with another store DELETE the collection and ingest again. "
        "Set ALLOW_VECTOR_MISMATCH=true to serve the vectors as they are."
    )
