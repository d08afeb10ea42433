"""Cold files: drop what a target reads at its start from the page cache, and see whether it was read from disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from bench import paths
from bench.processes import Running
from bench.targets import Target


def files(target: Target) -> Iterator[Path]:
    """The packages of the target's environments, bytecode included, and the model files of its roles."""
    for env in {role.env for role in target.roles}:
        for folder in (paths.ROOT / env / "lib").glob("python3*/site-packages"):
            yield from (file for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
    for name in {name for role in target.roles for name in role.model_files}:
        yield paths.model_dir() / name


def drop(target: Target) -> None:
    """
    Ask the kernel to forget the target's files; it keeps what another process has mapped or what is not written yet.

    Needs no root: posix_fadvise(2), POSIX_FADV_DONTNEED.
    """
    for file in files(target):
        with suppress(OSError):
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.fsync(descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


def read_mb(running: Running) -> float | None:
    """MB (10^6) that the target's processes had fetched from storage so far; None where the system does not say."""
    try:
        members = [member for process in running.processes for member in process.tree()]
        return sum(member.io_counters().read_bytes for member in members) / 1e6
    except (AttributeError, psutil.Error):
        return None
