"""Cold files: drop a target's files from the page cache, and check that its start read them from storage."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from bench import paths
from bench.targets import Target
from bench.targets.processes import Server


def files(target: Target) -> Iterator[Path]:
    """Yield the packages of the target's environments, with bytecode, and the model files of its roles."""
    for env in {role.env for role in target.roles}:
        for folder in (paths.ROOT / env / "lib").glob("python3*/site-packages"):
            yield from (file for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
    for name in {name for role in target.roles for name in role.model_files}:
        yield paths.model_dir() / name


def drop(target: Target) -> None:
    """
    Ask the kernel to drop the target's files (posix_fadvise(2), POSIX_FADV_DONTNEED; no root needed).

    The kernel keeps dirty pages and pages that another process has mapped.
    """
    for file in files(target):
        with suppress(OSError):
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.fsync(descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


def read_mb(server: Server) -> float | None:
    """Return the MB (10^6 bytes) that the server's processes read from storage; None if the system hides it."""
    try:
        members = [member for process in server.processes for member in process.tree()]
        return sum(member.io_counters().read_bytes for member in members) / 1e6
    except (AttributeError, psutil.Error):
        return None
