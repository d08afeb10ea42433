"""Atomic and durable changes of files: complete or absent, also after a power cut."""

from __future__ import annotations

import os
from pathlib import Path


def write(path: Path, content: bytes) -> None:
    """Replace the content of a file, atomically and durably."""
    draft = path.with_suffix(".draft")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    move(draft, path)


def move(old: Path, new: Path) -> None:
    """Rename a file or a folder within its parent folder, durably."""
    old.replace(new)
    sync(new.parent)


def sync(folder: Path) -> None:
    """Make the entries of a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
