"""Snapshots of DATA_DIR as one file: a gzipped tar of the files, after a list of their SHA-256."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import IO

from gateways.core.persistence.atomic_files import move, sync

_CONTENTS, _FILES = "snapshot.json", "data/"
_BLOCK_BYTES = 64 << 10


class ArchiveDamaged(Exception):
    """The file is no intact snapshot."""


def write_archive(file: Path, folder: Path, paths: Iterable[Path]) -> int:
    """Write the files at `paths` below `folder` to a new archive, atomically and durably. Returns their number."""
    hashes = {str(path.relative_to(folder)): hash_file(path) for path in paths}
    draft = file.with_name(f".{file.name}.draft")
    try:
        with tarfile.open(draft, "w:gz", compresslevel=1) as tar:
            _add_contents(tar, hashes)
            for name in hashes:
                tar.add(folder / name, f"{_FILES}{name}")
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        move(draft, file)
    finally:
        draft.unlink(missing_ok=True)
    return len(hashes)


def check_archive(file: Path) -> int:
    """Read an archive and compare every file with its SHA-256. Returns their number. Raises ArchiveDamaged."""
    return _read(file, None)


def unpack(file: Path, folder: Path) -> int:
    """
    Write the files of an archive to a new folder, durably. Returns their number.

    Raises ArchiveDamaged: a file differs from the list, is missing, or is not in it.
    """
    folder.mkdir()
    count = _read(file, folder)
    for parent in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
        sync(parent)
    return count


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _add_contents(tar: tarfile.TarFile, hashes: Mapping[str, str]) -> None:
    contents = json.dumps({"schema": 1, "files": hashes}, indent=1).encode()
    info = tarfile.TarInfo(_CONTENTS)
    info.size = len(contents)
    tar.addfile(info, BytesIO(contents))


def _read(file: Path, folder: Path | None) -> int:
    """Check every file of an archive, and write them below `folder` unless it is None."""
    try:
        with tarfile.open(file, "r:gz") as tar:
            return _read_members(tar, folder)
    except (tarfile.TarError, zlib.error, EOFError, ValueError, LookupError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk: a damaged gzip file has no number
        raise ArchiveDamaged(f"{file} is damaged, or no snapshot: {error}") from None


def _read_members(tar: tarfile.TarFile, folder: Path | None) -> int:
    # Not by `extractall`: its safe mode is missing in the Python 3.11.2 of Debian 12.
    members = iter(tar)
    first = next(members, None)
    contents = tar.extractfile(first) if first and first.name == _CONTENTS else None
    if contents is None:
        raise ValueError(f"it does not begin with {_CONTENTS}")
    missing = dict(json.load(contents)["files"])
    count = len(missing)
    for member in members:
        name = member.name.removeprefix(_FILES)
        expected, content = missing.pop(name, None), tar.extractfile(member)
        if expected is None or content is None or Path(name).is_absolute() or ".." in Path(name).parts:
            raise ValueError(f"{member.name} is not one of the files that were saved")
        if _read_content(content, folder and folder / name) != expected:
            raise ValueError(f"{name} is not what was saved")
    if missing:
        raise ValueError(f"{min(missing)} is missing")
    return count


def _read_content(content: IO[bytes], path: Path | None) -> str:
    """Return the SHA-256 of a file of an archive, written to `path`, durably and with holes for zeros."""
    if path is None:
        return hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]  # it reads
    digest = hashlib.sha256()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        while block := content.read(_BLOCK_BYTES):
            digest.update(block)
            if block.strip(b"\0"):
                file.write(block)
            else:
                file.seek(len(block), os.SEEK_CUR)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()
