"""`gateways.admin reindex`: documents that the journal does not know, and kills at each step of the exchange."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench import paths
from gateways.core.profiles import Profile
from gateways.core.scoring import bm25
from gateways.core.stores.edge.store import EdgeStore
from tests.support.gateways import Gateway
from tests.support.ingest_client import client_of
from tests.system.faults.conftest import Start
from tests.system.faults.test_data_dir import folder_of, run
from tests.system.faults.test_kill import numbered
from tests.unit.core.stores.edge_stores import fill

PROFILE = Profile("pseudo-384", 384, bm25.ID)
# Kills the process before its n-th change of an entry of DATA_DIR, as the interpreter announces it.
KILL_BEFORE = """
import os, signal, sys
folder, number = os.environ["DATA_DIR"], int(sys.argv.pop(1))
changes = {"os.rename", "os.mkdir", "os.rmdir", "os.remove", "shutil.rmtree"}
def watch(event, arguments):
    global number
    if event in changes and any(os.path.dirname(str(path)) == folder for path in arguments):
        number -= 1
        if number == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
from gateways.admin.reindex import main
main()
"""
KILLED = -9


def ingest_and_stop(gateway: Gateway, texts: dict[str, str]) -> None:
    """Ingest documents, and end the gateway."""
    with client_of(gateway) as client:
        client.completed(client.submit(texts))
    assert gateway.stop() == dict.fromkeys(gateway.processes, 0)


def load_past_the_journal(folder: Path, *names: str) -> None:
    """Write a document into each collection as bulk-load and migrate-store do: the journal does not know of it."""

    async def scenario() -> None:
        store = EdgeStore(folder / "vectors", PROFILE, None, threads=1)
        for name in names:
            await store.ensure(name, PROFILE)
            await fill(store, name, "loaded", ["one", "two"])
        await store.close()

    asyncio.run(scenario())


def count(gateway: Gateway) -> int:
    """Start the gateway, and return how many documents it has; it is stopped again."""
    gateway.front.start()
    try:
        with client_of(gateway) as client:
            documents = client.http.get("/healthz").json()["document_count"]
    finally:
        gateway.front.kill()
    return int(documents)


@pytest.mark.gateway("pseudo")
def test_documents_that_the_journal_does_not_know_are_not_dropped(start: Start) -> None:
    """They are counted by collection, and nothing changes; with --force they stay in the store that is kept."""
    gateway = start("pseudo")
    ingest_and_stop(gateway, numbered(20))
    load_past_the_journal(folder_of(gateway), "default", "books")

    refused = run("reindex", gateway, "--gateway", "pseudo")
    before = count(gateway)
    forced = run("reindex", gateway, "--gateway", "pseudo", "--force")

    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert "nothing was changed" in refused.stderr
    assert "books: 1 document\n" in refused.stderr
    assert "default: 1 document\n" in refused.stderr
    assert "--force" in refused.stderr
    assert before == 22
    assert forced.returncode == 0, forced.stderr
    assert count(gateway) == 20
    kept = folder_of(gateway) / "replaced-1"
    assert str(kept) in forced.stdout
    shutil.rmtree(folder_of(gateway) / "vectors")
    kept.rename(folder_of(gateway) / "vectors")
    assert count(gateway) == 22


@pytest.mark.gateway("pseudo")
def test_a_kill_at_any_step_leaves_the_old_store_or_the_new_one(start: Start) -> None:
    """Killed before each change of DATA_DIR in turn: the next start serves every document, never an empty store."""
    gateway = start("pseudo")
    texts = numbered(20)
    ingest_and_stop(gateway, texts)
    environ = os.environ | gateway.front.environ
    steps = 0

    while True:
        command = [sys.executable, "-c", KILL_BEFORE, str(steps + 1), "--gateway", "pseudo"]
        done = subprocess.run(command, cwd=paths.ROOT, env=environ, capture_output=True, text=True, check=False)  # noqa: S603
        assert count(gateway) == len(texts), f"killed before change {steps + 1}"
        if done.returncode != KILLED:
            break
        steps += 1

    assert done.returncode == 0, done.stderr
    # A folder for the new store, its mark as complete, the old store away, the new one in its place.
    assert steps >= 4
    gateway.front.start()
    with client_of(gateway) as client:
        client.holds_exactly(texts)
