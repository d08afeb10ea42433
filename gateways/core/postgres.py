"""The PostgreSQL at DATABASE_URL, which several gateways share: connections, and what its errors mean to clients."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from gateways.core.errors import BackendUnavailable

Connection: TypeAlias = psycopg.AsyncConnection[Any]

CONNECTIONS = 8
# A start waits so long for the database; a request does not.
START_S, REQUEST_S = 60.0, 5.0
# What only one process at a time may do: make tables and collections.
SETTING_UP = 0x656D62


class Database:
    """Connections that are lent out, each statement for itself unless a transaction is begun."""

    def __init__(self, url: str, prepare: Callable[[Connection], Awaitable[None]] | None = None) -> None:
        """Have `prepare` called with every new connection."""
        self._url = url
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url, min_size=1, max_size=CONNECTIONS, open=False, configure=prepare, kwargs={"autocommit": True}
        )

    async def open(self, schema: str) -> None:
        """Make what is missing of the tables, then connect. Raises psycopg.Error when that cannot be done."""
        async with await psycopg.AsyncConnection.connect(self._url, connect_timeout=int(START_S)) as connection:
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (SETTING_UP,))
            await connection.execute(schema.encode())
        await self._pool.open(wait=True, timeout=START_S)

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection. Raises BackendUnavailable when the database is away, or goes away meanwhile."""
        try:
            async with self._pool.connection(REQUEST_S) as connection:
                yield connection
        except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout) as error:
            raise BackendUnavailable(f"the database is away: {_first_line(error)}", retry_after_s=1) from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lend a connection for a transaction, which is durable once this is over."""
        async with self.connection() as connection, connection.transaction():
            yield connection


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
