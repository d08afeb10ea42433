"""The qdrant store: collections on the Qdrant at QDRANT_URL, which several gateways share."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from types import MappingProxyType

import orjson
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from gateways.core.backend import ModelInfo
from gateways.core.profiles import Profile, check_served, parse_profile, vectors_conflict
from gateways.core.settings import StoreSettings
from gateways.core.stores.base import DEFAULT, CollectionDamaged, unknown_collection
from gateways.core.stores.payloads import INDEXED
from gateways.core.stores.qdrant.collection import QdrantCollection
from gateways.core.stores.qdrant.connection import mapped_errors
from gateways.core.stores.qdrant.points import vectors_config
from gateways.core.vector_source import parse_source

# The list of collections: points without vectors, each with a name, a profile, and the server's name.
_REGISTRY = "gateway-collections"
_MAX_COLLECTIONS = 10_000
_TIMEOUT_S = 30


class QdrantStore:
    """Collections by name: the list is read by `refresh`, and after each change by this gateway."""

    # The server looks after its files.
    damaged: Mapping[str, CollectionDamaged] = MappingProxyType({})

    def __init__(self, settings: StoreSettings, default: Profile) -> None:
        """Use the server at `qdrant_url` or, if that is empty, the client's own engine in DATA_DIR."""
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

    async def open(self, served: Sequence[ModelInfo] | None) -> None:
        """
        Connect, and create the list of collections and the default collection if missing.

        Raises StoreMismatch if the models `served`, unless None, lack the model of a collection.
        """
        async with mapped_errors():
            if not await self._client.collection_exists(_REGISTRY):
                with suppress(UnexpectedResponse):  # another gateway has just created it
                    await self._client.create_collection(_REGISTRY, vectors_config={})
        await self.ensure(DEFAULT, self._default)
        if served is not None:
            for name, collection in self._collections.items():
                check_served(name, collection.profile, served)

    async def refresh(self, *, counts: bool = False, name: str | None = None) -> None:
        """
        Read the collections and their profiles; with `counts`, the numbers of documents as well.

        With the `name` of a collection that is known, no other one is read.
        """
        if name in self._collections:
            await self._refresh_one(name)
        else:
            async with mapped_errors():
                points, _ = await self._client.scroll(_REGISTRY, limit=_MAX_COLLECTIONS, with_payload=True)
            self._collections = _open_entries(self._client, self._is_server, points, self._collections)
        if counts:
            changed = [self._collections[name]] if name in self._collections else self._collections.values()
            await asyncio.gather(*(collection.flush() for collection in changed))

    async def _refresh_one(self, name: str) -> None:
        async with mapped_errors():
            points = await self._client.retrieve(_REGISTRY, [_entry_id(name)], with_payload=True)
        if points:
            self._collections |= _open_entries(self._client, self._is_server, points, self._collections)
        else:
            self._collections.pop(name, None)

    def collections(self) -> Sequence[QdrantCollection]:
        """Return all collections, ordered by name."""
        return [self._collections[name] for name in sorted(self._collections)]

    def collection(self, name: str) -> QdrantCollection:
        """Return a collection. Raises NotFound, which lists the collections."""
        if name not in self._collections:
            raise unknown_collection(name, sorted(self._collections))
        return self._collections[name]

    async def ensure(self, name: str, profile: Profile) -> QdrantCollection:
        """Return a collection, created with this profile if missing."""
        async with self._changing:
            await self.refresh()
            if name not in self._collections:
                await self._create(name, profile)
            return self._collections[name]

    async def put(self, name: str, profile: Profile) -> bool:
        """Create a collection, or change its profile. Raises Conflict if its documents have other vectors."""
        async with self._changing:
            await self.refresh()
            old = self._collections.get(name)
            if old is None:
                await self._create(name, profile)
                return True
            await old.flush()
            if profile.shares_vectors(old.profile):
                source = old.profile.vector_source if old.documents else profile.vector_source
                await self._register(name, profile.with_source(source), old.server_name)
                await self.refresh()
                return False
            if old.documents:
                raise vectors_conflict(name, old.profile, profile)
            await self._drop(old)
            await self._create(name, profile)
            return False

    async def delete(self, name: str) -> bool:
        """Delete a collection with its documents, durably. The default one is created again, empty."""
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

    async def release_memory(self) -> None:
        """Return at once: the server manages its own memory."""

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _create(self, name: str, profile: Profile) -> None:
        """Create it under a unique name, then register it. If two gateways do so, the first registration wins."""
        server_name = f"gateway-{name}-{uuid.uuid4().hex[:12]}"
        async with mapped_errors():
            await self._client.create_collection(
                server_name, **vectors_config(profile), shard_number=self._shards, replication_factor=self._replicas
            )
            for field in INDEXED if self._is_server else ():
                await self._client.create_payload_index(server_name, field, models.PayloadSchemaType.KEYWORD)
        await self._register(name, profile, server_name, models.UpdateMode.INSERT_ONLY)
        await self.refresh()
        if self._collections[name].server_name != server_name:
            await self._client.delete_collection(server_name)

    async def _register(
        self, name: str, profile: Profile, server_name: str, mode: models.UpdateMode = models.UpdateMode.UPSERT
    ) -> None:
        # The source is apart: gateways of the version before refuse a profile with a field that they do not know.
        source = profile.vector_source and asdict(profile.vector_source)
        fields = orjson.dumps(profile.fields_without_source()).decode()
        payload = {"name": name, "stored": server_name, "profile": fields, "vector_source": source}
        async with mapped_errors():
            point = models.PointStruct(id=_entry_id(name), vector={}, payload=payload)
            await self._client.upsert(_REGISTRY, [point], wait=True, update_mode=mode)

    async def _drop(self, collection: QdrantCollection) -> None:
        async with mapped_errors():
            await self._client.delete(_REGISTRY, models.PointIdsList(points=[_entry_id(collection.name)]), wait=True)
            await self._client.delete_collection(collection.server_name)
        self._collections.pop(collection.name, None)


async def open_store(settings: StoreSettings, default: Profile, served: Sequence[ModelInfo] | None) -> QdrantStore:
    """Open the store. Raises StoreMismatch if the models `served` lack the model of a collection."""
    store = QdrantStore(settings, default)
    try:
        await store.open(served)
    except BaseException:
        await store.close()
        raise
    return store


def _entry_id(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


def _open_entries(
    client: AsyncQdrantClient,
    is_server: bool,
    points: Iterable[models.Record],
    known: Mapping[str, QdrantCollection],
) -> dict[str, QdrantCollection]:
    """Return the collections of entries in the list by name: `known` ones with their current profile, or new ones."""
    collections = {}
    for entry in (point.payload or {} for point in points):
        name, server_name = entry["name"], entry["stored"]
        collection = known.get(name)
        if collection is None or collection.server_name != server_name:
            collection = QdrantCollection(client, name, server_name, is_server=is_server)
        source = entry.get("vector_source")
        profile = parse_profile(orjson.loads(entry["profile"]))
        collection.profile = profile.with_source(parse_source(source) if source else None)
        collections[name] = collection
    return collections
