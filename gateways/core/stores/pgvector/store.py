"""The pgvector store: collections in the PostgreSQL at DATABASE_URL, which several gateways share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import orjson
from psycopg.types.json import Jsonb

from gateways.core.backend import ModelInfo
from gateways.core.persistence.postgres import SCHEMA_LOCK, Connection, Database
from gateways.core.profiles import Profile, check_served, parse_profile, vectors_conflict
from gateways.core.settings import StoreSettings
from gateways.core.stores.base import DEFAULT, CollectionDamaged, unknown_collection
from gateways.core.stores.pgvector import tables
from gateways.core.stores.pgvector.collection import PgCollection
from gateways.core.vector_source import parse_source


class PgStore:
    """Collections by name: the list is read by `refresh`, and after each change by this gateway."""

    # The server looks after its files.
    damaged: Mapping[str, CollectionDamaged] = MappingProxyType({})

    def __init__(self, database: Database, default: Profile) -> None:
        self._database = database
        self._default = default
        self._collections: dict[str, PgCollection] = {}

    async def open(self, models: Sequence[ModelInfo] | None) -> None:
        """
        Connect, and create missing tables and the default collection.

        Raises StoreMismatch if `models`, unless None, lack the model of a collection.
        """
        await self._database.open(tables.open_schema)
        await self.ensure(DEFAULT, self._default)
        if models is not None:
            for name, collection in self._collections.items():
                check_served(name, collection.profile, models)

    async def refresh(self, *, counts: bool = False, name: str | None = None) -> None:
        """Read the collections with their profiles and numbers of documents."""
        async with self._database.connection() as connection:
            await self._read_list(connection)

    def collections(self) -> Sequence[PgCollection]:
        """Return all collections, ordered by name."""
        return [self._collections[name] for name in sorted(self._collections)]

    def collection(self, name: str) -> PgCollection:
        """Return a collection. Raises NotFound, which lists the collections."""
        if name not in self._collections:
            raise unknown_collection(name, sorted(self._collections))
        return self._collections[name]

    async def ensure(self, name: str, profile: Profile) -> PgCollection:
        """Return a collection, created with this profile if missing."""
        # The list may be read anew before the commit, without the new collection: it is not looked up there.
        async with self._database.transaction() as connection:
            collections = await self._read_list(connection)
            if name not in collections:
                collections = await self._lock_list(connection)
                if name not in collections:
                    collections = await self._create(connection, name, profile)
        return collections[name]

    async def put(self, name: str, profile: Profile) -> bool:
        """Create a collection, or change its profile. Raises Conflict if its documents have other vectors."""
        async with self._database.transaction() as connection:
            old = (await self._lock_list(connection)).get(name)
            if old is None:
                await self._create(connection, name, profile)
            elif profile.shares_vectors(old.profile):
                source = old.profile.vector_source if old.passages else profile.vector_source
                await connection.execute(
                    "UPDATE gateway_collections SET profile = %s, vector_source = %s WHERE name = %s",
                    (*_to_columns(profile.with_source(source)), name),
                )
                await self._read_list(connection)
            elif old.passages:
                raise vectors_conflict(name, old.profile, profile)
            else:
                await self._drop(connection, old)
                await self._create(connection, name, profile)
            return old is None

    async def delete(self, name: str) -> bool:
        """Delete a collection with its documents, durably. The default one is created again, empty."""
        async with self._database.transaction() as connection:
            old = (await self._lock_list(connection)).get(name)
            if old is None:
                return False
            await self._drop(connection, old)
            if name == DEFAULT:
                await self._create(connection, DEFAULT, self._default)
            return True

    def count(self) -> int:
        """Return the number of documents in all collections."""
        return sum(collection.documents for collection in self._collections.values())

    async def release_memory(self) -> None:
        """Return at once: the database manages its own memory."""

    async def close(self) -> None:
        """Close the connections."""
        await self._database.close()

    async def _lock_list(self, connection: Connection) -> dict[str, PgCollection]:
        """Exclude other gateways from creating or dropping a collection in this transaction, then read the list."""
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
        # The row locks wait for every writer of a collection that may be dropped.
        await connection.execute("SELECT FROM gateway_collections FOR UPDATE")
        return await self._read_list(connection)

    async def _read_list(self, connection: Connection) -> dict[str, PgCollection]:
        cursor = await connection.execute(
            "SELECT number, name, profile::text, vector_source, documents, passages FROM gateway_collections"
        )
        by_number = {collection.number: collection for collection in self._collections.values()}
        current: dict[str, PgCollection] = {}
        for number, name, profile, source, documents, passages in await cursor.fetchall():
            collection = by_number.get(number) or PgCollection(self._database, number, name)
            collection.profile = parse_profile(orjson.loads(profile)).with_source(source and parse_source(source))
            collection.documents, collection.passages = documents, passages
            current[name] = collection
        self._collections = current
        return current

    async def _create(self, connection: Connection, name: str, profile: Profile) -> dict[str, PgCollection]:
        cursor = await connection.execute(
            "INSERT INTO gateway_collections (name, profile, vector_source) VALUES (%s, %s, %s) RETURNING number",
            (name, *_to_columns(profile)),
        )
        row = await cursor.fetchone()
        assert row  # noqa: S101 the statement returns the inserted row
        await tables.create(connection, row[0], profile)
        return await self._read_list(connection)

    async def _drop(self, connection: Connection, collection: PgCollection) -> None:
        await connection.execute("DELETE FROM gateway_collections WHERE number = %s", (collection.number,))
        await tables.drop(connection, collection.number)
        await self._read_list(connection)


async def open_store(settings: StoreSettings, default: Profile, models: Sequence[ModelInfo] | None) -> PgStore:
    """Open the store. Raises StoreMismatch if `models` lack the model of a collection."""
    store = PgStore(Database(settings.database_url, tables.prepare), default)
    try:
        await store.open(models)
    except BaseException:
        await store.close()
        raise
    return store


def _to_columns(profile: Profile) -> tuple[Jsonb, Jsonb | None]:
    """Return the columns `profile` and `vector_source`."""
    source = profile.vector_source
    fields = Jsonb(profile.fields_without_source(), dumps=orjson.dumps)
    return fields, Jsonb(source, dumps=orjson.dumps) if source else None
