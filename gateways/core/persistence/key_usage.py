"""The requests of limited keys in PostgreSQL, counted over all processes that share it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gateways.core.persistence.postgres import Connection, Database, read_version, write_version
from gateways.core.persistence.versions import check_version

VERSION = 1
_TABLE = """
CREATE TABLE IF NOT EXISTS gateway_key_usage (
    name text PRIMARY KEY,
    total bigint NOT NULL,
    day integer NOT NULL,
    today bigint NOT NULL
)
"""
# All processes agree on the day, which is that of the database's clock, by UTC.
_ADD = """
INSERT INTO gateway_key_usage AS stored
SELECT name, requests, floor(extract(epoch FROM now()) / 86400)::integer, requests
FROM unnest(%s::text[], %s::bigint[]) AS added (name, requests)
ON CONFLICT (name) DO UPDATE SET
    total = stored.total + excluded.total,
    day = excluded.day,
    today = excluded.today + CASE WHEN stored.day = excluded.day THEN stored.today ELSE 0 END
"""
_READ = "SELECT name, total, day, today FROM gateway_key_usage WHERE name = ANY(%s)"


class KeyUsage(NamedTuple):
    """The requests of a key over all processes: ever, and on a day (in days since 1970, by UTC)."""

    total: int
    day: int
    today: int


class KeyUsageTable:
    """The table of all keys."""

    def __init__(self, url: str) -> None:
        self._database = Database(url)

    async def open(self) -> None:
        """Create the table if it is missing. Raises psycopg.Error, NewerVersion."""
        await self._database.open(_open_schema)

    async def close(self) -> None:
        """Close all connections."""
        await self._database.close()

    async def exchange(self, requests: Mapping[str, int]) -> dict[str, KeyUsage]:
        """
        Add requests to keys by name, and return the usage of these keys. A key that nobody used is missing.

        Raises BackendUnavailable.
        """
        # Every process locks the rows in the same order.
        used = sorted((name, number) for name, number in requests.items() if number)
        async with self._database.connection() as connection:
            if used:
                await connection.execute(_ADD, ([name for name, _ in used], [number for _, number in used]))
            rows = await (await connection.execute(_READ, (list(requests),))).fetchall()
        return {name: KeyUsage(*numbers) for name, *numbers in rows}


async def _open_schema(connection: Connection) -> None:
    version = await read_version(connection, "key_usage")
    check_version("the usage of keys at DATABASE_URL", version, VERSION)
    if version < VERSION:
        await connection.execute(_TABLE)
        await write_version(connection, "key_usage", VERSION)
