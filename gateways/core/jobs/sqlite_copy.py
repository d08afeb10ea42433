"""A copy of the SQLite journal as it was at one moment, made while the gateway goes on writing to it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


class JournalCopy:
    """The journal as it is when this object is made. Later writes are not in the copy."""

    def __init__(self, journal: Path) -> None:
        self._engine = sqlite3.connect(f"file:{journal}?mode=ro", uri=True, check_same_thread=False)
        # A read transaction of the write-ahead log sees the journal of its first statement until it ends.
        self._engine.execute("BEGIN")
        self._engine.execute("SELECT count(*) FROM jobs WHERE number < 0").fetchone()

    def write(self, target: Path) -> None:
        """Write the journal of that moment to a new file."""
        with closing(sqlite3.connect(target)) as copy:
            self._engine.backup(copy)

    def close(self) -> None:
        """Let go of the journal, so that its log can be shortened."""
        self._engine.close()
