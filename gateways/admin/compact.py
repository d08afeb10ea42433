"""
Erase from the job journal what was deleted or replaced, and give the space back.

    python -m gateways.admin compact

Set the same environment variables as for the gateway. A gateway does this itself each hour. Stop it first if the
journal is a file in DATA_DIR; a journal in PostgreSQL can be compacted while gateways use it.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
from pathlib import Path

from gateways.core.app.server import read_settings
from gateways.core.errors import GatewayError
from gateways.core.jobs.base import JobQueue
from gateways.core.persistence import data_dir
from gateways.core.persistence.versions import NewerVersion
from gateways.core.settings import StoreSettings


def main() -> None:
    """Read the environment, then compact."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    settings = read_settings(StoreSettings)
    try:
        print(asyncio.run(_compact(settings)))
    except (data_dir.DataDirBusy, data_dir.DataDirUnusable, NewerVersion, GatewayError) as error:
        raise SystemExit(f"nothing was changed: {error}") from None


async def _compact(settings: StoreSettings) -> str:
    if settings.jobs == "postgres":
        from gateways.core.jobs import postgres

        return await _compact_queue(await postgres.open_jobs(settings))
    from gateways.core.jobs.sqlite import SqliteJobs

    journal = settings.data_dir / data_dir.JOURNAL
    if not journal.is_file():
        raise data_dir.DataDirUnusable(f"there is no journal {journal}")
    with data_dir.lock(settings.data_dir):
        summary = await _compact_queue(SqliteJobs(journal))
        _vacuum(journal)
    return summary


async def _compact_queue(jobs: JobQueue) -> str:
    try:
        before = await jobs.size_bytes()
        erased = await jobs.compact()
        after = await jobs.size_bytes()
    finally:
        await jobs.close()
    return f"documents erased: {erased}; journal: {after / 1e6:.1f} MB, before {before / 1e6:.1f} MB"


def _vacuum(journal: Path) -> None:
    """Let a journal of before 2026-12 give pages back, now and from now on."""
    connection = sqlite3.connect(journal)
    if connection.execute("PRAGMA auto_vacuum").fetchone() == (0,):
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
