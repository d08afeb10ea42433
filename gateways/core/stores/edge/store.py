"""The embedded store: Qdrant Edge, with one shard per collection under DATA_DIR/vectors."""

from __future__ import annotations

import asyncio
import logging
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

from gateways.core.backend import ModelInfo
from gateways.core.errors import Conflict
from gateways.core.host import memory
from gateways.core.persistence.atomic_files import move, sync
from gateways.core.persistence.data_dir import VECTORS
from gateways.core.profiles import Profile, StoreMismatch, check_served, vectors_conflict
from gateways.core.settings import StoreSettings
from gateways.core.stores.base import DEFAULT, CollectionDamaged, unknown_collection
from gateways.core.stores.edge import collection as edge_collection
from gateways.core.stores.edge.collection import EdgeCollection

log = logging.getLogger(__name__)
# The name of a collection never begins with a dot.
_DELETED = ".deleted-"


class EdgeStore:
    """Collections by name, each in a folder that is opened with the store."""

    def __init__(self, folder: Path, default: Profile, models: Sequence[ModelInfo] | None, threads: int) -> None:
        """
        Open all collections but the damaged ones.

        Raises StoreMismatch if `models`, unless None, lack the model of a collection.
        """
        self._folder = folder
        self._default = default
        self._threads = threads
        self._collections: dict[str, EdgeCollection] = {}
        self.damaged: dict[str, CollectionDamaged] = {}
        self._changing = asyncio.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.iterdir()):
            if path.name.startswith(_DELETED):
                shutil.rmtree(path)
            elif edge_collection.is_collection(path):
                self._open(path, models)
        if DEFAULT not in self._collections and DEFAULT not in self.damaged:
            self._collections[DEFAULT] = self._create(DEFAULT, default)
        memory.unmap_pages(folder)

    async def refresh(self, *, counts: bool = False, name: str | None = None) -> None:
        """Return at once: no other process changes this folder."""

    def collections(self) -> Sequence[EdgeCollection]:
        """Return all collections, ordered by name."""
        return [self._collections[name] for name in sorted(self._collections)]

    def collection(self, name: str) -> EdgeCollection:
        """Return a collection. Raises CollectionDamaged, and NotFound, which lists the collections."""
        self._require_sound(name)
        if name not in self._collections:
            raise unknown_collection(name, self._collections)
        return self._collections[name]

    async def ensure(self, name: str, profile: Profile) -> EdgeCollection:
        """Return a collection, created with this profile if missing."""
        self._require_sound(name)
        async with self._changing:
            if name not in self._collections:
                await self._add(name, profile)
            return self._collections[name]

    async def put(self, name: str, profile: Profile) -> bool:
        """Create a collection, or change its profile. Raises Conflict if its documents have other vectors."""
        self._require_sound(name)
        async with self._changing:
            old = self._collections.get(name)
            if old and await old.change_profile(profile):
                return False
            if old and not await old.retire(only_if_empty=True):
                raise vectors_conflict(name, old.profile, profile)
            if old:
                await self._discard(old)
            await self._add(name, profile)
            return old is None

    async def delete(self, name: str) -> bool:
        """Delete a collection with its documents, durably. The default one is created again, empty."""
        self._require_sound(name)
        async with self._changing:
            if name not in self._collections:
                return False
            old = self._collections[name]
            await old.retire()
            await self._discard(old)
            if name == DEFAULT:
                await self._add(DEFAULT, self._default)
            return True

    def count(self) -> int:
        """Return the number of documents in all collections."""
        return sum(collection.documents for collection in self._collections.values())

    async def release_memory(self) -> None:
        """Unmap the pages that ingest has written."""
        for collection in self.collections():
            await collection.release_memory()

    async def close(self) -> None:
        """Flush every write and close the files."""
        for collection in self._collections.values():
            collection.close()

    def _open(self, path: Path, models: Sequence[ModelInfo] | None) -> None:
        try:
            collection = edge_collection.load(path, _read_profile(path, models), self._threads)
            self._collections[path.name] = collection
        except CollectionDamaged as error:
            log.error("%s", error)
            self.damaged[path.name] = error

    def _require_sound(self, name: str) -> None:
        """Raise CollectionDamaged for a damaged collection, so that no empty one takes its place."""
        if name in self.damaged:
            raise self.damaged[name]

    async def _add(self, name: str, profile: Profile) -> None:
        self._require_own_folder(name)
        self._collections[name] = await asyncio.to_thread(self._create, name, profile)

    def _require_own_folder(self, name: str) -> None:
        """Raise Conflict if the file system takes the folder of another collection for that of `name`."""
        path = self._folder / name
        for other in self._collections:
            if path.exists() and path.samefile(self._folder / other):
                raise Conflict(
                    f"collection {name!r} is not created: this file system does not tell it from {other!r}. "
                    "Choose a name that differs in more than capitals.",
                    param="collection",
                    code="collection_name_taken",
                )

    def _create(self, name: str, profile: Profile) -> EdgeCollection:
        path = self._folder / name
        shutil.rmtree(path, ignore_errors=True)  # of an interrupted creation
        collection = edge_collection.create(path, profile, self._threads)
        sync(self._folder)
        return collection

    async def _discard(self, collection: EdgeCollection) -> None:
        """Delete a retired collection. Renaming its folder is the commit."""
        del self._collections[collection.name]
        trash = self._folder / f"{_DELETED}{uuid.uuid4().hex}"
        await asyncio.to_thread(move, self._folder / collection.name, trash)
        await asyncio.to_thread(shutil.rmtree, trash, ignore_errors=True)


async def open_store(settings: StoreSettings, default: Profile, models: Sequence[ModelInfo] | None) -> EdgeStore:
    """Open or create the store below DATA_DIR. Raises StoreMismatch if `models` lack the model of a collection."""
    # Many collections take seconds, and the probes are answered meanwhile.
    return await asyncio.to_thread(EdgeStore, settings.data_dir / VECTORS, default, models, settings.cores())


def _read_profile(path: Path, models: Sequence[ModelInfo] | None) -> Profile:
    try:
        profile = edge_collection.read_profile(path)
    except ValueError as error:
        raise StoreMismatch(f"collection {error}: use another DATA_DIR, and ingest again") from None
    if models is not None:
        check_served(path.name, profile, models)
    return profile
