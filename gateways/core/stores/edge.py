"""Qdrant Edge: the Qdrant engine in this process, one shard per collection under DATA_DIR/vectors."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

from gateways.core import memory
from gateways.core.backend import ModelInfo
from gateways.core.profiles import Profile, StoreMismatch, check_served, other_vectors
from gateways.core.settings import Settings
from gateways.core.stores import edge_collection
from gateways.core.stores.base import DEFAULT, unknown
from gateways.core.stores.durable import move, sync
from gateways.core.stores.edge_collection import EdgeCollection

# No collection's name begins with a dot.
_DELETED = ".deleted-"


class EdgeStore:
    """Each collection has a folder, which is opened with the store."""

    def __init__(self, folder: Path, default: Profile, models: Sequence[ModelInfo] | None, threads: int) -> None:
        """Open it; `models` None lets collections be of models that nobody serves."""
        self._folder = folder
        self._default = default
        self._threads = threads
        self._collections: dict[str, EdgeCollection] = {}
        self._changing = asyncio.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.iterdir()):
            if path.name.startswith(_DELETED):
                shutil.rmtree(path)
            elif (path / edge_collection.PROFILE).is_file():
                self._collections[path.name] = edge_collection.load(path, _profile(path, models), threads)
        if DEFAULT not in self._collections:
            self._collections[DEFAULT] = self._create(DEFAULT, default)
        memory.unmap_pages(folder)

    async def refresh(self, *, counts: bool = False) -> None:
        """Do nothing: no other process has this folder."""

    def collections(self) -> Sequence[EdgeCollection]:
        """Return all collections, ordered by name."""
        return [self._collections[name] for name in sorted(self._collections)]

    def collection(self, name: str) -> EdgeCollection:
        """Return a collection; NotFound lists those there are."""
        if name not in self._collections:
            raise unknown(name, self._collections)
        return self._collections[name]

    async def ensure(self, name: str, profile: Profile) -> EdgeCollection:
        """Return a collection, made with this profile when there was none."""
        async with self._changing:
            if name not in self._collections:
                await self._add(name, profile)
            return self._collections[name]

    async def put(self, name: str, profile: Profile) -> bool:
        """Make a collection, or give one another profile; Conflict where its documents are in the way."""
        async with self._changing:
            old = self._collections.get(name)
            if old and await old.take(profile):
                return False
            if old and not await old.leave(empty_only=True):
                raise other_vectors(name, old.profile, profile)
            if old:
                await self._discard(old)
            await self._add(name, profile)
            return old is None

    async def delete(self, name: str) -> bool:
        """Forget a collection and all in it, durably; the default one is there again, empty, at once."""
        async with self._changing:
            if name not in self._collections:
                return False
            old = self._collections[name]
            await old.leave()
            await self._discard(old)
            if name == DEFAULT:
                await self._add(DEFAULT, self._default)
            return True

    def count(self) -> int:
        """Return the number of documents in all collections."""
        return sum(collection.documents for collection in self._collections.values())

    async def rest(self) -> None:
        """Keep nothing in memory that an ingest has touched and a search may not."""
        for collection in self.collections():
            await collection.rest()

    async def close(self) -> None:
        """Write everything and let go of the files."""
        for collection in self._collections.values():
            collection.close()

    async def _add(self, name: str, profile: Profile) -> None:
        self._collections[name] = await asyncio.to_thread(self._create, name, profile)

    def _create(self, name: str, profile: Profile) -> EdgeCollection:
        path = self._folder / name
        shutil.rmtree(path, ignore_errors=True)  # left by a creation that did not finish
        collection = edge_collection.create(path, profile, self._threads)
        sync(self._folder)
        return collection

    async def _discard(self, collection: EdgeCollection) -> None:
        """Drop a closed collection: it is gone once its folder has another name."""
        del self._collections[collection.name]
        rest = self._folder / f"{_DELETED}{uuid.uuid4().hex}"
        await asyncio.to_thread(move, self._folder / collection.name, rest)
        await asyncio.to_thread(shutil.rmtree, rest, ignore_errors=True)


async def open_store(settings: Settings, default: Profile, models: Sequence[ModelInfo] | None) -> EdgeStore:
    """Open or make the store below DATA_DIR; StoreMismatch when none of the models makes a collection's vectors."""
    return EdgeStore(settings.data_dir / "vectors", default, models, settings.cores())


def _profile(path: Path, models: Sequence[ModelInfo] | None) -> Profile:
    try:
        profile = edge_collection.read_profile(path)
    except ValueError as error:
        raise StoreMismatch(f"collection {error}: use another DATA_DIR, and ingest again") from None
    if models is not None:
        check_served(path.name, profile, models)
    return profile
