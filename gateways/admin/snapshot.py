"""
Save DATA_DIR to one file, check such a file, or restore it.

    python -m gateways.admin snapshot save monday.tar.gz --url http://localhost:8000
    python -m gateways.admin snapshot check monday.tar.gz
    python -m gateways.admin snapshot restore monday.tar.gz

With --url a gateway that serves makes the snapshot, and goes on serving. Where it needs a key, set GATEWAY_KEY to one
of the scope admin. Without --url set DATA_DIR as for the gateway, and stop the gateway first.

A snapshot holds the SHA-256 of every file, which is checked before a file is put in place. A restore that was
interrupted is finished by the next one; until then no gateway starts on the folder.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

from gateways.core.app.server import read_settings
from gateways.core.jobs.sqlite import SqliteJobs
from gateways.core.jobs.sqlite_schema import VERSION
from gateways.core.persistence import data_dir
from gateways.core.persistence.archive import ArchiveDamaged, check_archive, unpack, write_archive
from gateways.core.persistence.atomic_files import move, sync
from gateways.core.settings import StoreSettings

JOURNAL = data_dir.JOURNAL
EXCLUDED = {"lock", "rebuilding", "restoring", data_dir.RESTORED, data_dir.REBUILT, data_dir.SNAPSHOT}
# A gateway sends nothing until the archive is complete, which takes a minute for some GB.
WAIT_S = 3_600


class Unusable(Exception):
    """The file or the folder cannot be used, or the gateway refused."""


def main() -> None:
    """Parse the command line and the environment, then save, check or restore."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["save", "check", "restore"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--url", help="with save: base URL of the gateway that makes the snapshot")
    arguments = parser.parse_args()
    if arguments.url and arguments.action != "save":
        parser.error("--url belongs to save: a gateway cannot check or restore")
    run = _choose(arguments.action, arguments.url)
    try:
        print(run(arguments.file))
    except (Unusable, ArchiveDamaged, data_dir.DataDirBusy, data_dir.DataDirUnusable, OSError) as error:
        raise SystemExit(f"{arguments.action}: {error}") from None


def _choose(action: str, url: str | None) -> Callable[[Path], str]:
    if action == "check":
        return check
    if url:
        return lambda file: fetch(url, file)
    folder = read_settings(StoreSettings).data_dir
    return lambda file: save(folder, file) if action == "save" else restore(folder, file)


def fetch(url: str, file: Path) -> str:
    """Let the gateway at `url` make a snapshot, and write it to `file` once it is checked. Raises Unusable."""
    _require_absent(file)
    key = os.environ.get("GATEWAY_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(f"{url.rstrip('/')}/v1/snapshot", b"", headers)  # noqa: S310 the operator's URL
    draft = file.with_name(f".{file.name}.draft")
    try:
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer, draft.open("wb") as written:  # noqa: S310 # nosec B310
            shutil.copyfileobj(answer, written)
            written.flush()
            os.fsync(written.fileno())
        count = check_archive(draft)
        move(draft, file)
    except urllib.error.HTTPError as error:
        raise Unusable(f"{url} answered {error.code}: {_read_message(error)}") from None
    except (urllib.error.URLError, HTTPException, ValueError) as error:
        raise Unusable(f"{url} sent no snapshot: {error}") from None
    finally:
        draft.unlink(missing_ok=True)
    return _summarize(count, url, file)


def save(folder: Path, file: Path) -> str:
    """Write a snapshot of `folder` to `file`, atomically. Returns a summary. Raises Unusable, DataDirBusy."""
    journal = folder / JOURNAL
    if not journal.is_file():
        raise Unusable(f"{folder} is no DATA_DIR: it has no {JOURNAL}")
    _require_absent(file)
    try:
        lock = data_dir.lock(folder)
    except data_dir.DataDirBusy as error:
        raise Unusable(f"{error}. Or let that gateway make the snapshot: add --url with its base URL") from None
    with lock:
        _compact(journal)
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and _is_saved(path.relative_to(folder))]
        return _summarize(write_archive(file, folder, paths), str(folder), file)


def check(file: Path) -> str:
    """Compare every file of a snapshot with its SHA-256. Returns a summary. Raises ArchiveDamaged."""
    return f"{file} is intact: {check_archive(file)} files"


def _require_absent(file: Path) -> None:
    if file.exists():
        raise Unusable(f"{file} is there already")


def _summarize(count: int, source: str, file: Path) -> str:
    return f"{count} files of {source} are in {file} ({file.stat().st_size / 1e6:.1f} MB)"


def _read_message(error: urllib.error.HTTPError) -> str:
    """Return the message of a gateway's error, or the reason phrase."""
    with suppress(ValueError, KeyError, TypeError):
        return str(json.loads(error.read())["error"]["message"])
    return str(error.reason)


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
    """Restore a snapshot into an empty folder. Returns a summary. Raises Unusable, ArchiveDamaged, DataDirBusy."""
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
            count = unpack(file, draft)
        except ArchiveDamaged as error:
            raise Unusable(f"{error}; nothing was put in place") from None
        move(draft, restored)
        _put_in_place(restored, folder)
    return f"{count} files of {file} are in {folder}"


def _put_in_place(restored: Path, folder: Path) -> None:
    """Move a checked snapshot into DATA_DIR: the journal last, since it counts the documents of the store."""
    for path in sorted(restored.iterdir(), key=lambda path: (path.name.startswith(JOURNAL), path.name)):
        move(path, folder / path.name)
    restored.rmdir()
    sync(folder)


def _is_saved(path: Path) -> bool:
    name = path.parts[0]
    return name not in EXCLUDED and not name.startswith(data_dir.REPLACED)


if __name__ == "__main__":
    main()
