"""
Build the vectors below DATA_DIR anew, from the job journal beside them: after damage, or for another model.

    python -m scripts.reindex --gateway onnx_py

Everything else is said by the variables that the gateway itself reads. The gateway must not run meanwhile; what is
there stays until its successor is complete.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import shutil
import sys
from pathlib import Path
from typing import cast

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from gateways.core import data_dir
from gateways.core.backend import Backend
from gateways.core.encoders import Encoders
from gateways.core.gateway import default_profile
from gateways.core.ingest import IngestWorker
from gateways.core.jobs.base import JobQueue
from gateways.core.jobs.replay import Replay
from gateways.core.profiles import Profile
from gateways.core.server import read_settings
from gateways.core.settings import Settings
from gateways.core.stores.durable import move
from gateways.core.stores.edge import EdgeStore
from gateways.core.stores.edge_collection import PROFILE, read_profile


def main() -> None:
    """Read the command line and the environment, and build."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateway", choices=["onnx_py", "python", "split", "pseudo"], default="onnx_py")
    settings = read_settings()
    try:
        count, errors = asyncio.run(rebuild(backend_of(parser.parse_args().gateway, settings), settings))
    except (data_dir.DataDirBusy, data_dir.DataDirUnusable, FileNotFoundError, RuntimeError) as error:
        raise SystemExit(f"nothing was changed: {error}") from None
    for left_out in errors:
        print(left_out, file=sys.stderr)
    print(f"{count} documents are in {settings.data_dir / 'vectors'}")


def backend_of(gateway: str, settings: Settings) -> Backend:
    """Return the backend of a gateway by its name; its packages must be installed here."""
    if gateway == "pseudo":
        from gateways.core.pseudo import PseudoBackend

        return PseudoBackend()
    if gateway == "split":
        from gateways.split.gateway.remote import RemoteBackend

        return RemoteBackend(settings)
    from gateways.core.local import LocalBackend

    return LocalBackend(importlib.import_module(f"gateways.{gateway}.model"), settings)


async def rebuild(backend: Backend, settings: Settings) -> tuple[int, list[str]]:
    """Write all documents to a new store and put it in place; how many there are, and what was left out, and why."""
    folder, journal = settings.data_dir, settings.data_dir / "jobs.sqlite"
    if not journal.is_file():
        raise FileNotFoundError(f"there is no journal {journal}")
    taken = data_dir.lock(folder)
    new = folder / "rebuilding"
    shutil.rmtree(new, ignore_errors=True)
    async with backend:
        encoders = Encoders(backend)
        default = default_profile(encoders, settings)
        store = EdgeStore(new / "vectors", default, encoders.models(), settings.cores())
        with Progress("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()) as progress:
            bar = progress.add_task("documents")
            replay = Replay(journal, lambda documents: progress.advance(bar, documents))
            progress.update(bar, total=replay.documents_left)
            for name in replay.collections:
                profile = replay.profiles.get(name) or _profile_now(folder / "vectors" / name)
                await store.put(name, profile or default)
            # It is asked for what works a job off, and for nothing else of a queue.
            await IngestWorker(encoders, store, cast(JobQueue, replay), default).work_off()
        replay.close()
        count = store.count()
        await store.close()
    if (folder / "vectors").exists():
        move(folder / "vectors", new / "old")
    move(new / "vectors", folder / "vectors")
    shutil.rmtree(new)
    taken.close()
    return count, [f"{error.document_id}: {error.message}" for error in replay.errors]


def _profile_now(path: Path) -> Profile | None:
    try:
        return read_profile(path) if (path / PROFILE).is_file() else None
    except ValueError:
        return None


if __name__ == "__main__":
    main()
