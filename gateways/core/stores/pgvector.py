"""PostgreSQL with pgvector: collections that several gateways share, in the database at DATABASE_URL."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from psycopg.types.json import Jsonb

from gateways.core.backend import ModelInfo
from gateways.core.postgres import SETTING_UP, Connection, Database
from gateways.core.profiles import Profile, check_served, other_vectors, profile_of
from gateways.core.settings import Settings
from gateways.core.stores import pg_tables
from gateways.core.stores.base import DEFAULT, unknown
from gateways.core.stores.pg_collection import PgCollection


class PgStore:
    """What is known of the collections is read again by `refresh`; what this gateway changes it knows at once."""

    def __init__(self, database: Database, default: Profile) -> None:
        self._database = database
        self._default = default
        self._collections: dict[str, PgCollection] = {}

    async def open(self, models: Sequence[ModelInfo] | None) -> None:
        """
        Connect, make what is missing.

        Raises StoreMismatch when no model here makes a collection's vectors; `models` None lets it.
        """
        await self._database.open(pg_tables.SCHEMA)
        await self.ensure(DEFAULT, self._default)
        if models is not None:
            for name, collection in self._collections.items():
                check_served(name, collection.profile, models)

    async def refresh(self, *, counts: bool = False) -> None:
        """Learn which collections there are, how they are searched, and how many documents they hold."""
        async with self._database.connection() as connection:
            await self._read(connection)

    def collections(self) -> Sequence[PgCollection]:
        """Return all collections, ordered by name."""
        return [self._collections[name] for name in sorted(self._collections)]

    def collection(self, name: str) -> PgCollection:
        """Return a collection; NotFound lists those there are."""
        if name not in self._collections:
            raise unknown(name, sorted(self._collections))
        return self._collections[name]

    async def ensure(self, name: str, profile: Profile) -> PgCollection:
        """Return a collection, made with this profile when there was none."""
        async with self._database.transaction() as connection:
            await self._read(connection)
            if name not in self._collections:
                await self._alone(connection)
                if name not in self._collections:
                    await self._create(connection, name, profile)
        return self._collections[name]

    async def put(self, name: str, profile: Profile) -> bool:
        """Make a collection, or give one another profile; Conflict where its documents are in the way."""
        async with self._database.transaction() as connection:
            await self._alone(connection)
            old = self._collections.get(name)
            if old is None:
                await self._create(connection, name, profile)
            elif profile.shares_vectors(old.profile):
                await connection.execute(
                    "UPDATE gateway_collections SET profile = %s WHERE name = %s", (_json(profile), name)
                )
                await self._read(connection)
            elif old.passages:
                raise other_vectors(name, old.profile, profile)
            else:
                await self._drop(connection, old)
                await self._create(connection, name, profile)
            return old is None

    async def delete(self, name: str) -> bool:
        """Forget a collection and all in it, durably; the default one is there again, empty, at once."""
        async with self._database.transaction() as connection:
            await self._alone(connection)
            old = self._collections.get(name)
            if old is None:
                return False
            await self._drop(connection, old)
            if name == DEFAULT:
                await self._create(connection, DEFAULT, self._default)
            return True

    def count(self) -> int:
        """Return the number of documents in all collections."""
        return sum(collection.documents for collection in self._collections.values())

    async def rest(self) -> None:
        """Do nothing: what the database keeps in memory is its own affair."""

    async def close(self) -> None:
        """Close the connections."""
        await self._database.close()

    async def _alone(self, connection: Connection) -> None:
        """Let no other gateway make or drop a collection until this transaction ends, and see what they did."""
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (SETTING_UP,))
        # Nobody is writing to one that is about to be dropped.
        await connection.execute("SELECT FROM gateway_collections FOR UPDATE")
        await self._read(connection)

    async def _read(self, connection: Connection) -> None:
        found = await connection.execute(
            "SELECT number, name, profile::text, documents, passages FROM gateway_collections"
        )
        known = {its.number: its for its in self._collections.values()}
        now: dict[str, PgCollection] = {}
        for number, name, profile, documents, passages in await found.fetchall():
            collection = known.get(number) or PgCollection(self._database, number, name)
            collection.profile = profile_of(orjson.loads(profile))
            collection.documents, collection.passages = documents, passages
            now[name] = collection
        self._collections = now

    async def _create(self, connection: Connection, name: str, profile: Profile) -> None:
        made = await connection.execute(
            "INSERT INTO gateway_collections (name, profile) VALUES (%s, %s) RETURNING number", (name, _json(profile))
        )
        row = await made.fetchone()
        assert row  # noqa: S101 it returns what it inserted
        await pg_tables.create(connection, row[0], profile)
        await self._read(connection)

    async def _drop(self, connection: Connection, collection: PgCollection) -> None:
        await connection.execute("DELETE FROM gateway_collections WHERE number = %s", (collection.number,))
        await pg_tables.drop(connection, collection.number)
        await self._read(connection)


async def open_store(settings: Settings, default: Profile, models: Sequence[ModelInfo] | None) -> PgStore:
    """Open the store in the database; StoreMismatch when none of the models makes a collection's vectors."""
    store = PgStore(Database(settings.database_url, pg_tables.prepare), default)
    try:
        await store.open(models)
    except BaseException:
        await store.close()
        raise
    return store


def _json(profile: Profile) -> Jsonb:
    return Jsonb(profile, dumps=orjson.dumps)
