"""DATA_DIR: its lock, its size, and the free space of its disk."""

from __future__ import annotations

import fcntl
import itertools
import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from gateways.core.errors import NoSpace
from gateways.core.persistence.atomic_files import move

log = logging.getLogger(__name__)


class DataDirBusy(Exception):
    """Another process serves from the same DATA_DIR."""


class DataDirUnusable(Exception):
    """DATA_DIR cannot be created or written, or holds a part of a snapshot."""


# A snapshot that was checked, and whose files are being moved into DATA_DIR.
RESTORED = "restored"
# The job journal in SQLite, and the folder in which a gateway makes a snapshot. A start removes it, so its name is
# none that somebody gives to a folder of backups.
JOURNAL, SNAPSHOT = "jobs.sqlite", ".snapshot-draft"
# The vector store; a new one that is complete and takes its place; the prefix of a store that was replaced.
VECTORS, REBUILT, REPLACED = "vectors", "rebuilt", "replaced-"


def lock(data_dir: Path, *, restoring: bool = False) -> TextIO:
    """
    Lock the folder, created if missing, for this process. The kernel releases the lock when the process ends.

    A rebuilt store that a killed process left beside the old one is put in place.

    Returns the lock file. Raises DataDirBusy, which names the process that holds the lock, and DataDirUnusable: the
    folder cannot be written, or a restore into it was interrupted and this process is not `restoring`.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        file = (data_dir / "lock").open("a+")
    except OSError as error:
        raise DataDirUnusable(f"DATA_DIR={data_dir} cannot be written: {error.strerror}") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        raise DataDirBusy(f"DATA_DIR is served by process {file.read().strip()}; stop it or use another") from None
    if (data_dir / RESTORED).exists() and not restoring:
        file.close()
        raise DataDirUnusable(
            f"DATA_DIR={data_dir} holds a part of a snapshot, because its restore was interrupted: "
            "run `python -m gateways.admin snapshot restore` again, which finishes it"
        )
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    shutil.rmtree(data_dir / SNAPSHOT, ignore_errors=True)  # of a process that was killed
    if (data_dir / REBUILT).exists():
        replace_store(data_dir)
        log.warning("a reindex was interrupted: the store that it built is in place now")
    return file


def replace_store(data_dir: Path) -> Path | None:
    """
    Put the rebuilt store in the place of the vector store. Returns the folder in which the old one is kept, if any.

    The process may be killed between any two steps: the next `lock` calls this again.
    """
    current, kept = data_dir / VECTORS, None
    if current.exists():
        folders = (data_dir / f"{REPLACED}{number}" for number in itertools.count(1))
        kept = next(folder for folder in folders if not folder.exists())
        move(current, kept)
    move(data_dir / REBUILT, current)
    return kept


def size_bytes(data_dir: Path) -> int:
    """Return the allocated bytes of the folder, which are fewer than the sizes of the engine's sparse files."""
    size = 0
    for folder, _, files in os.walk(data_dir):
        for name in files:
            with suppress(FileNotFoundError):  # the engine has just deleted it
                size += (Path(folder) / name).stat().st_blocks * 512
    return size


def check_space(data_dir: Path, min_free_bytes: int) -> None:
    """
    Raise NoSpace if fewer than `min_free_bytes` are free on the folder's disk.

    The engine writes to mapped files, and the kernel kills a process that does so on a full disk. Hence the reserve.
    """
    free = shutil.disk_usage(data_dir).free
    if free < min_free_bytes:
        raise NoSpace(
            f"{free / 1e6:.0f} MB are free for DATA_DIR and MIN_FREE_MB is {min_free_bytes / 1e6:.0f}: nothing was "
            "accepted; make room and send it again"
        )
