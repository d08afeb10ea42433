"""The PostgreSQL at DATABASE_URL: a connection pool, and its errors as errors of the API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias
from weakref import WeakSet

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from gateways.core.errors import BackendUnavailable

Connection: TypeAlias = psycopg.AsyncConnection[Any]

CONNECTIONS = 8
# How long a start and a request wait for a connection.
START_TIMEOUT_S, REQUEST_TIMEOUT_S = 60.0, 5.0
# The advisory lock of a process that creates tables or collections.
SCHEMA_LOCK = 0x656D62
# Errors of a database that is away, or that takes no writes, as after a failover. The last two of psycopg's are not
# OperationalError, although they pass by themselves.
AWAY = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.IdleInTransactionSessionTimeout,
    PoolTimeout,
)


_VERSIONS = "CREATE TABLE IF NOT EXISTS gateway_versions (component text PRIMARY KEY, version integer NOT NULL)"
# The open transaction: its task, the URL of its database, and its connection. A new task inherits the variable, but
# not the transaction.
_Open: TypeAlias = "tuple[asyncio.Task[Any] | None, str, Connection]"
_open_transaction: ContextVar[_Open | None] = ContextVar("open_transaction", default=None)


class Database:
    """A pool of connections in autocommit mode."""

    def __init__(self, url: str, prepare: Callable[[Connection], Awaitable[None]] | None = None) -> None:
        """`prepare` is called with every new connection."""
        self._url = url
        self._prepare = prepare
        # The connections of another pool that joined transactions have prepared.
        self._prepared: WeakSet[Connection] = WeakSet()
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url, min_size=1, max_size=CONNECTIONS, open=False, configure=prepare, kwargs={"autocommit": True}
        )

    async def open(self, open_schema: Callable[[Connection], Awaitable[None]]) -> None:
        """
        Call `open_schema`, which creates and migrates tables in one transaction, then open the pool.

        Raises psycopg.Error.
        """
        async with await psycopg.AsyncConnection.connect(
            self._url, connect_timeout=int(START_TIMEOUT_S)
        ) as connection:
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
            await connection.execute(_VERSIONS)
            await open_schema(connection)
        await self._pool.open(wait=True, timeout=START_TIMEOUT_S)

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection. Raises BackendUnavailable if the database is away, or goes away meanwhile."""
        try:
            async with self._pool.connection(REQUEST_TIMEOUT_S) as connection:
                yield connection
        except AWAY as error:
            raise BackendUnavailable(f"the database is away: {_first_line(error)}", retry_after_s=1) from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """
        Lend a connection in a transaction, which is durable once the context ends.

        A transaction that this task has open at the same database is joined: both are durable, or neither is.
        """
        task, outer = asyncio.current_task(), _open_transaction.get()
        if outer and outer[:2] == (task, self._url):
            yield await self._join(outer[2])
            return
        async with self.connection() as connection, connection.transaction():
            token = _open_transaction.set((task, self._url, connection))
            try:
                yield connection
            finally:
                _open_transaction.reset(token)

    async def _join(self, connection: Connection) -> Connection:
        if self._prepare and connection not in self._prepared:
            await self._prepare(connection)
            self._prepared.add(connection)
        return connection


async def read_version(connection: Connection, component: str) -> int:
    """Return the version of the tables of a component, 0 if none is recorded."""
    cursor = await connection.execute("SELECT version FROM gateway_versions WHERE component = %s", (component,))
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def write_version(connection: Connection, component: str, version: int) -> None:
    """Record the version of the tables of a component."""
    await connection.execute(
        "INSERT INTO gateway_versions VALUES (%s, %s) "
        "ON CONFLICT (component) DO UPDATE SET version = excluded.version",
        (component, version),
    )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
