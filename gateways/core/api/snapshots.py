"""`POST /v1/snapshot`: DATA_DIR as one file, while the gateway serves."""

from __future__ import annotations

import asyncio
import logging
import shutil
import sqlite3
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse
from starlette.types import Receive, Scope, Send

from gateways.core import tenants
from gateways.core.errors import Conflict, NoSpace
from gateways.core.gateway import Gateway
from gateways.core.host.thread_priority import be_nice
from gateways.core.jobs.sqlite_copy import JournalCopy
from gateways.core.observability import metrics
from gateways.core.persistence import data_dir
from gateways.core.persistence.sparse_files import copy_folder

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/gzip"


class SnapshotMaker:
    """Makes one snapshot at a time, below DATA_DIR."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._busy = False

    async def make(self) -> Path:
        """
        Return a new archive, to be removed by `discard`. Writes wait while the vectors are copied, searches do not.

        Raises Conflict for data outside DATA_DIR and while another snapshot is made or sent, NoSpace, Forbidden.
        """
        tenants.require_all()
        settings = self._gateway.settings
        if settings.store != "edge" or settings.jobs != "sqlite":
            raise Conflict(
                f"STORE={settings.store} and JOBS={settings.jobs} keep data outside DATA_DIR: back up the database "
                "with its own tools, such as pg_dump",
                code="snapshot_unsupported",
            )
        if self._busy:
            raise Conflict("another snapshot is being made or sent: try again later", code="snapshot_busy")
        self._busy = True
        try:
            # A thread of its own, because those of the store and of ingest must not wait for minutes of packing.
            thread = ThreadPoolExecutor(1, "snapshot", be_nice)
            try:
                return await self._make(settings.data_dir, thread)
            finally:
                thread.shutdown(wait=False)
        except BaseException as error:
            await self.discard()
            if isinstance(error, OSError | sqlite3.OperationalError):
                reason = error.strerror if isinstance(error, OSError) else error
                raise NoSpace(f"the snapshot cannot be written below DATA_DIR: {reason}; make room") from error
            raise

    async def discard(self) -> None:
        """Remove the archive, and let the next snapshot be made."""
        await asyncio.to_thread(
            shutil.rmtree, self._gateway.settings.data_dir / data_dir.SNAPSHOT, ignore_errors=True
        )
        self._busy = False

    async def _make(self, folder: Path, thread: Executor) -> Path:
        gateway, loop = self._gateway, asyncio.get_running_loop()
        started_s = time.monotonic()
        await gateway.jobs.compact()
        # The copy and the archive that is made from it are there at once.
        needed = 2 * await loop.run_in_executor(thread, data_dir.size_bytes, folder)
        data_dir.check_space(folder, needed + gateway.settings.min_free_mb * 1_000_000)
        files = folder / data_dir.SNAPSHOT / "files"
        async with gateway.worker.pause_changes():
            paused_s = time.monotonic()
            journal = await asyncio.to_thread(_copy_vectors, folder, files)
            paused_s = time.monotonic() - paused_s
        archive = await loop.run_in_executor(thread, _pack, journal, files)
        log.info("snapshot in %.1f s; writes waited for %.2f s", time.monotonic() - started_s, paused_s)
        metrics.last_snapshot.set(time.time())
        return archive


class SnapshotResponse(FileResponse):
    """An archive, removed once it is sent or the client has gone."""

    def __init__(self, maker: SnapshotMaker, archive: Path) -> None:
        name = time.strftime("snapshot-%Y%m%dT%H%M%SZ.tar.gz", time.gmtime())
        super().__init__(archive, media_type=MEDIA_TYPE, filename=name)
        self._maker = maker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the archive."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._maker.discard()


def router(gateway: Gateway) -> APIRouter:
    """Return the route of snapshots."""
    routes = APIRouter(tags=["operations"])
    maker = SnapshotMaker(gateway)

    @routes.post(
        "/v1/snapshot",
        response_class=FileResponse,
        responses={200: {"content": {MEDIA_TYPE: {}}, "description": "A gzipped tar, with the SHA-256 of each file"}},
    )
    async def snapshot() -> Response:
        """
        Save DATA_DIR to one file, which `gateways.admin snapshot restore` puts in place.

        It holds all that was acknowledged before. Needs a key of the scope `admin`, and STORE=edge.
        """
        return SnapshotResponse(maker, await maker.make())

    return routes


def _copy_vectors(folder: Path, files: Path) -> JournalCopy:
    """Copy the vectors, and return the journal as of now."""
    shutil.rmtree(files.parent, ignore_errors=True)
    copy_folder(folder / data_dir.VECTORS, files / data_dir.VECTORS)
    return JournalCopy(folder / data_dir.JOURNAL)


def _pack(journal: JournalCopy, files: Path) -> Path:
    """Write the journal to the copied files, and all of them to an archive beside them."""
    from gateways.core.persistence.archive import write_archive  # imported here: no start waits for tarfile

    try:
        journal.write(files / data_dir.JOURNAL)
    finally:
        journal.close()
    archive = files.parent / "snapshot.tar.gz"
    write_archive(archive, files, sorted(path for path in files.rglob("*") if path.is_file()))
    shutil.rmtree(files)
    return archive
