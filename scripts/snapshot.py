"""
Keep DATA_DIR in one file, and put it back.

    python -m scripts.snapshot save monday.tar.gz
    python -m scripts.snapshot restore monday.tar.gz

DATA_DIR is read from the environment, as the gateway reads it; no gateway may serve from it meanwhile. Every file's
SHA-256 is in the snapshot and checked before anything is put in place.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sqlite3
import tarfile
import zlib
from io import BytesIO
from pathlib import Path

from gateways.core import data_dir
from gateways.core.server import read_settings
from gateways.core.stores.durable import move, sync

CONTENTS = "snapshot.json"
NOT_KEPT = {"lock", "rebuilding", "restoring"}


class Unusable(Exception):
    """What was given is no snapshot, or there is no place for it."""


def main() -> None:
    """Read the command line and the environment, and save or restore."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["save", "restore"])
    parser.add_argument("file", type=Path)
    asked = parser.parse_args()
    work = save if asked.what == "save" else restore
    try:
        print(work(read_settings().data_dir, asked.file))
    except (Unusable, data_dir.DataDirBusy, data_dir.DataDirUnusable, OSError) as error:
        raise SystemExit(f"{asked.what}: {error}") from None


def save(folder: Path, file: Path) -> str:
    """Write a snapshot of the folder; the file is there whole or not at all. Raises Unusable, DataDirBusy."""
    journal = folder / "jobs.sqlite"
    if not journal.is_file():
        raise Unusable(f"{folder} is no DATA_DIR: it has no jobs.sqlite")
    if file.exists():
        raise Unusable(f"{file} is there already")
    with data_dir.lock(folder):
        with sqlite3.connect(journal) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and _kept(path.relative_to(folder))]
        hashes = {str(path.relative_to(folder)): _sha256(path) for path in paths}
        draft = file.with_name(f".{file.name}.draft")
        with tarfile.open(draft, "w:gz", compresslevel=1) as tar:
            contents = json.dumps({"schema": 1, "files": hashes}, indent=1).encode()
            info = tarfile.TarInfo(CONTENTS)
            info.size = len(contents)
            tar.addfile(info, BytesIO(contents))
            for path in paths:
                tar.add(path, f"data/{path.relative_to(folder)}")
        draft.replace(file)
    return f"{len(paths)} files of {folder} are in {file} ({file.stat().st_size / 1e6:.1f} MB)"


def restore(folder: Path, file: Path) -> str:
    """Put a snapshot in place of nothing. Raises Unusable where there is something, or a file is not what it was."""
    with data_dir.lock(folder):
        there = sorted(path.name for path in folder.iterdir() if path.name not in NOT_KEPT)
        if there:
            raise Unusable(f"{folder} is not empty ({', '.join(there[:3])}): move what is there away first")
        draft = folder / "restoring"
        shutil.rmtree(draft, ignore_errors=True)
        try:
            with tarfile.open(file, "r:gz") as tar:
                tar.extractall(draft, filter="data")
        except (tarfile.TarError, zlib.error, EOFError) as error:
            raise Unusable(f"{file} is damaged, or no snapshot: {error}; nothing was put in place") from None
        hashes = json.loads((draft / CONTENTS).read_bytes())["files"]
        for name, expected in hashes.items():
            path = draft / "data" / name
            if not path.is_file() or _sha256(path) != expected:
                raise Unusable(f"{name} in {file} is not what was saved: nothing was put in place")
        for path in sorted((draft / "data").iterdir()):
            move(path, folder / path.name)
        sync(folder)
        shutil.rmtree(draft)
    return f"{len(hashes)} files of {file} are in {folder}"


def _kept(path: Path) -> bool:
    return path.parts[0] not in NOT_KEPT


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    main()
