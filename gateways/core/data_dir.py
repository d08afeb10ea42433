"""DATA_DIR: one process at a time, and room on its disk."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from gateways.core.errors import NoSpace


class DataDirBusy(Exception):
    """Another process serves from the same DATA_DIR."""


class DataDirUnusable(Exception):
    """It cannot be made or written."""


def lock(data_dir: Path) -> TextIO:
    """
    Take the folder, made where it is not there, for this process until it ends, however it ends.

    Raises DataDirBusy, which names the process that has it, and DataDirUnusable.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        held = (data_dir / "lock").open("a+")
    except OSError as error:
        raise DataDirUnusable(f"DATA_DIR={data_dir} cannot be written: {error.strerror}") from None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        held.seek(0)
        raise DataDirBusy(f"DATA_DIR is served by process {held.read().strip()}; stop it or use another") from None
    held.truncate(0)
    held.write(str(os.getpid()))
    held.flush()
    return held


def size_bytes(data_dir: Path) -> int:
    """Return what the folder takes on its disk: the engine's files are laid out long before they are filled."""
    size = 0
    for folder, _, files in os.walk(data_dir):
        for name in files:
            with suppress(FileNotFoundError):  # the engine has just let go of it
                size += (Path(folder) / name).stat().st_blocks * 512
    return size


def check_space(data_dir: Path, min_free_bytes: int) -> None:
    """
    Raise NoSpace unless so much is free on the folder's disk.

    The engine writes to mapped files: a process that does so when the last block is taken is killed. Hence a reserve.
    """
    free = shutil.disk_usage(data_dir).free
    if free < min_free_bytes:
        raise NoSpace(
            f"{free / 1e6:.0f} MB are free for DATA_DIR and MIN_FREE_MB is {min_free_bytes / 1e6:.0f}: nothing was "
            "accepted; make room and send it again"
        )
