"""The connection to a SQLite journal, and its errors as errors of the API."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from gateways.core.errors import BackendUnavailable, GatewayError, NoSpace

T = TypeVar("T")


class SqliteConnection:
    """One connection, used by one thread at a time, and never by that of the event loop."""

    def __init__(self, path: Path, open_schema: Callable[[sqlite3.Connection, Path], None]) -> None:
        """Open the file at `path`, or create it, and call `open_schema`, which creates and migrates the tables."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self.engine = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        try:
            open_schema(self.engine, path)
        except BaseException:
            self.engine.close()
            raise

    async def call(self, work: Callable[[], T]) -> T:
        """Return the result of `work`, run in a thread. Raises NoSpace, BackendUnavailable."""

        def locked() -> T:
            with self._lock:
                return work()

        try:
            return await asyncio.to_thread(locked)
        except sqlite3.OperationalError as error:
            raise _map_error(error) from error

    async def execute(self, statement: str, *values: Any) -> None:
        """Run one statement, durably."""
        await self.call(lambda: self.engine.execute(statement, values))

    def close(self) -> None:
        """Close the file once no thread uses the connection."""
        with self._lock:
            self.engine.close()


def _map_error(error: sqlite3.OperationalError) -> GatewayError:
    message = f"the job journal cannot be written, nothing was accepted: {error}"
    if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL:
        return NoSpace(message)
    return BackendUnavailable(message, code="journal_unwritable", retry_after_s=10)
