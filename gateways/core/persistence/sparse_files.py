"""Copies of sparse files. Most bytes of the engine's files are zeros that take no place on the disk."""

from __future__ import annotations

import os
from pathlib import Path


def copy_folder(source: Path, target: Path) -> None:
    """Copy a folder with all below it, without the holes of its files. Creates the parents of `target`."""
    target.mkdir(parents=True)
    for path in source.iterdir():
        (copy_folder if path.is_dir() else copy_sparse)(path, target / path.name)


def copy_sparse(source: Path, target: Path) -> None:
    """Copy a file without its holes."""
    with source.open("rb") as old, target.open("wb") as new:
        size = os.fstat(old.fileno()).st_size
        position = 0
        while position < size:
            try:
                start = os.lseek(old.fileno(), position, os.SEEK_DATA)
            except OSError:  # ENXIO: a hole reaches to the end
                break
            position = os.lseek(old.fileno(), start, os.SEEK_HOLE)
            _copy_range(old.fileno(), new.fileno(), start, position)
        new.truncate(size)


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    os.lseek(target, start, os.SEEK_SET)
    while start < end:
        copied = os.sendfile(target, source, start, end - start)
        if not copied:
            raise OSError("the file became shorter while it was copied")
        start += copied
