"""A Qdrant server or cluster at QDRANT_URL: collections that several gateways share."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from contextlib import suppress

import orjson
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from gateways.core.backend import ModelInfo
from gateways.core.profiles import Profile, check_served, other_vectors, profile_of
from gateways.core.settings import Settings
from gateways.core.stores.base import DEFAULT, unknown
from gateways.core.stores.payloads import INDEXED
from gateways.core.stores.qdrant_collection import QdrantCollection, reaching, vectors_of

# Which collections there are: points without vectors, each with a name, a profile, and what the server calls it.
_REGISTRY = "gateway-collections"
_MOST = 10_000
_TIMEOUT_S = 30


class QdrantStore:
    """What is known of the collections is read again by `refresh`; what this gateway changes it knows at once."""

    def __init__(self, settings: Settings, default: Profile) -> None:
        """Use the server that is named, or the client's own small engine in DATA_DIR."""
        self._is_server = bool(settings.qdrant_url)
        self._client = (
            AsyncQdrantClient(settings.qdrant_url, api_key=settings.qdrant_api_key or None, timeout=_TIMEOUT_S)
            if settings.qdrant_url
            else AsyncQdrantClient(path=str(settings.data_dir / "qdrant"))
        )
        self._shards, self._replicas = settings.qdrant_shards, settings.qdrant_replicas
        self._default = default
        self._collections: dict[str, QdrantCollection] = {}
        self._changing = asyncio.Lock()

    async def open(self, models_here: Sequence[ModelInfo] | None) -> None:
        """
        Connect, make what is missing.

        Raises StoreMismatch when no model here makes a collection's vectors; None lets it.
        """
        async with reaching():
            if not await self._client.collection_exists(_REGISTRY):
                with suppress(UnexpectedResponse):  # another gateway has just made it
                    await self._client.create_collection(_REGISTRY, vectors_config={})
        await self.ensure(DEFAULT, self._default)
        if models_here is not None:
            for name, collection in self._collections.items():
                check_served(name, collection.profile, models_here)

    async def refresh(self, *, counts: bool = False) -> None:
        """Learn which collections there are and how they are searched, with `counts` how many documents they hold."""
        async with reaching():
            found, _ = await self._client.scroll(_REGISTRY, limit=_MOST, with_payload=True)
        known = {its.stored: its for its in self._collections.values()}
        now: dict[str, QdrantCollection] = {}
        for point in found:
            its = point.payload or {}
            collection = known.get(its["stored"]) or QdrantCollection(self._client, its["name"], its["stored"])
            collection.profile = profile_of(orjson.loads(its["profile"]))
            now[collection.name] = collection
        self._collections = now
        if counts:
            await asyncio.gather(*(collection.flush() for collection in now.values()))

    def collections(self) -> Sequence[QdrantCollection]:
        """Return all collections, ordered by name."""
        return [self._collections[name] for name in sorted(self._collections)]

    def collection(self, name: str) -> QdrantCollection:
        """Return a collection; NotFound lists those there are."""
        if name not in self._collections:
            raise unknown(name, sorted(self._collections))
        return self._collections[name]

    async def ensure(self, name: str, profile: Profile) -> QdrantCollection:
        """Return a collection, made with this profile when there was none."""
        async with self._changing:
            await self.refresh()
            if name not in self._collections:
                await self._create(name, profile)
            return self._collections[name]

    async def put(self, name: str, profile: Profile) -> bool:
        """Make a collection, or give one another profile; Conflict where its documents are in the way."""
        async with self._changing:
            await self.refresh()
            old = self._collections.get(name)
            if old and profile.shares_vectors(old.profile):
                await self._register(name, profile, old.stored)
                await self.refresh()
                return False
            if old:
                await old.flush()
                if old.documents:
                    raise other_vectors(name, old.profile, profile)
                await self._drop(old)
            await self._create(name, profile)
            return old is None

    async def delete(self, name: str) -> bool:
        """Forget a collection and all in it, durably; the default one is there again, empty, at once."""
        async with self._changing:
            await self.refresh()
            if name not in self._collections:
                return False
            await self._drop(self._collections.pop(name))
            if name == DEFAULT:
                await self._create(DEFAULT, self._default)
            return True

    def count(self) -> int:
        """Return the number of documents in all collections."""
        return sum(collection.documents for collection in self._collections.values())

    async def rest(self) -> None:
        """Do nothing: what the server keeps in memory is its own affair."""

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _create(self, name: str, profile: Profile) -> None:
        """Make it under a name of its own, then register it: of two gateways that do, the first one's counts."""
        stored = f"gateway-{name}-{uuid.uuid4().hex[:12]}"
        async with reaching():
            await self._client.create_collection(
                stored, **vectors_of(profile), shard_number=self._shards, replication_factor=self._replicas
            )
            for field in INDEXED if self._is_server else ():
                await self._client.create_payload_index(stored, field, models.PayloadSchemaType.KEYWORD)
        await self._register(name, profile, stored, models.UpdateMode.INSERT_ONLY)
        await self.refresh()
        if self._collections[name].stored != stored:
            await self._client.delete_collection(stored)

    async def _register(
        self, name: str, profile: Profile, stored: str, mode: models.UpdateMode = models.UpdateMode.UPSERT
    ) -> None:
        payload = {"name": name, "stored": stored, "profile": orjson.dumps(profile).decode()}
        async with reaching():
            point = models.PointStruct(id=_key(name), vector={}, payload=payload)
            await self._client.upsert(_REGISTRY, [point], wait=True, update_mode=mode)

    async def _drop(self, collection: QdrantCollection) -> None:
        async with reaching():
            await self._client.delete(_REGISTRY, models.PointIdsList(points=[_key(collection.name)]), wait=True)
            await self._client.delete_collection(collection.stored)
        self._collections.pop(collection.name, None)


async def open_store(settings: Settings, default: Profile, models_here: Sequence[ModelInfo] | None) -> QdrantStore:
    """Open the store at QDRANT_URL; StoreMismatch when none of the models makes a collection's vectors."""
    store = QdrantStore(settings, default)
    try:
        await store.open(models_here)
    except BaseException:
        await store.close()
        raise
    return store


def _key(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))
