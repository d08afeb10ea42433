"""
Save DATA_DIR to one file, or restore it.

    python -m gateways.admin snapshot save monday.tar.gz
    python -m gateways.admin snapshot restore monday.tar.gz

Set DATA_DIR as for the gateway, and stop the gateway first. A snapshot holds the SHA-256 of every file, which is
checked before a file is put in place. A restore that was interrupted is finished by the next one; until then no
gateway starts on the folder.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import shutil
import sqlite3
import tarfile
import zlib
from io import BytesIO
from pathlib import Path

from gateways.core.app.server import read_settings
from gateways.core.jobs.sqlite import SqliteJobs
from gateways.core.jobs.sqlite_schema import VERSION
from gateways.core.persistence import data_dir
from gateways.core.persistence.atomic_files import move, sync
from gateways.core.settings import StoreSettings

CONTENTS = "snapshot.json"
DATA = "data/"
JOURNAL = "jobs.sqlite"
EXCLUDED = {"lock", "rebuilding", "restoring", data_dir.RESTORED, data_dir.REBUILT}


class Unusable(Exception):
    """The file is no intact snapshot, or the folder cannot be saved or restored."""


def main() -> None:
    """Parse the command line and the environment, then save or restore."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["save", "restore"])
    parser.add_argument("file", type=Path)
    arguments = parser.parse_args()
    run = save if arguments.action == "save" else restore
    try:
        print(run(read_settings(StoreSettings).data_dir, arguments.file))
    except (Unusable, data_dir.DataDirBusy, data_dir.DataDirUnusable, OSError) as error:
        raise SystemExit(f"{arguments.action}: {error}") from None


def save(folder: Path, file: Path) -> str:
    """Write a snapshot of `folder` to `file`, atomically. Returns a summary. Raises Unusable, DataDirBusy."""
    journal = folder / JOURNAL
    if not journal.is_file():
        raise Unusable(f"{folder} is no DATA_DIR: it has no {JOURNAL}")
    if file.exists():
        raise Unusable(f"{file} is there already")
    with data_dir.lock(folder):
        _compact(journal)
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and _is_saved(path.relative_to(folder))]
        hashes = {str(path.relative_to(folder)): _sha256(path) for path in paths}
        draft = file.with_name(f".{file.name}.draft")
        with tarfile.open(draft, "w:gz", compresslevel=1) as tar:
            contents = json.dumps({"schema": 1, "files": hashes}, indent=1).encode()
            info = tarfile.TarInfo(CONTENTS)
            info.size = len(contents)
            tar.addfile(info, BytesIO(contents))
            for path in paths:
                tar.add(path, f"{DATA}{path.relative_to(folder)}")
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        move(draft, file)
    return f"{len(paths)} files of {folder} are in {file} ({file.stat().st_size / 1e6:.1f} MB)"


def _compact(journal: Path) -> None:
    """Erase what was deleted, unless that would migrate the journal, and write its log into it."""
    connection = sqlite3.connect(journal)
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.close()
    if version == VERSION:
        asyncio.run(_erase(journal))
    connection = sqlite3.connect(journal)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


async def _erase(journal: Path) -> None:
    jobs = SqliteJobs(journal)
    await jobs.compact()
    await jobs.close()


def restore(folder: Path, file: Path) -> str:
    """Restore a snapshot into an empty folder. Returns a summary. Raises Unusable, DataDirBusy."""
    with data_dir.lock(folder, restoring=True):
        restored = folder / data_dir.RESTORED
        if restored.exists():
            _put_in_place(restored, folder)
            return f"the restore that was interrupted is complete: its files are in {folder}"
        present = sorted(path.name for path in folder.iterdir() if _is_saved(path.relative_to(folder)))
        if present:
            raise Unusable(f"{folder} is not empty ({', '.join(present[:3])}): move what is there away first")
        draft = folder / "restoring"
        shutil.rmtree(draft, ignore_errors=True)
        try:
            with tarfile.open(file, "r:gz") as tar:
                count = _unpack(tar, draft)
        except (tarfile.TarError, zlib.error, EOFError, ValueError, LookupError) as error:
            raise Unusable(f"{file} is damaged, or no snapshot: {error}; nothing was put in place") from None
        move(draft, restored)
        _put_in_place(restored, folder)
    return f"{count} files of {file} are in {folder}"


def _unpack(tar: tarfile.TarFile, draft: Path) -> int:
    """Write the files that a snapshot lists to `draft`, durably. Returns their number. Raises ValueError."""
    # Not by `extractall`: its safe mode is missing in the Python 3.11.2 of Debian 12.
    members = iter(tar)
    first = next(members, None)
    contents = tar.extractfile(first) if first and first.name == CONTENTS else None
    if contents is None:
        raise ValueError(f"it does not begin with {CONTENTS}")
    missing = dict(json.load(contents)["files"])
    count = len(missing)
    draft.mkdir()
    for member in members:
        name = member.name.removeprefix(DATA)
        expected, content = missing.pop(name, None), tar.extractfile(member)
        if expected is None or content is None or Path(name).is_absolute() or ".." in Path(name).parts:
            raise ValueError(f"{member.name} is not one of the files that were saved")
        path = draft / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            shutil.copyfileobj(content, file)
            file.flush()
            os.fsync(file.fileno())
        if _sha256(path) != expected:
            raise ValueError(f"{name} is not what was saved")
    if missing:
        raise ValueError(f"{min(missing)} is missing")
    for parent in [draft, *(path for path in draft.rglob("*") if path.is_dir())]:
        sync(parent)
    return count


def _put_in_place(restored: Path, folder: Path) -> None:
    """Move a checked snapshot into DATA_DIR: the journal last, since it counts the documents of the store."""
    for path in sorted(restored.iterdir(), key=lambda path: (path.name.startswith(JOURNAL), path.name)):
        move(path, folder / path.name)
    restored.rmdir()
    sync(folder)


def _is_saved(path: Path) -> bool:
    name = path.parts[0]
    return name not in EXCLUDED and not name.startswith(data_dir.REPLACED)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    main()
