"""Stores to hold to the same tests, and two gateways at one database."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from gateways.core.backend import ModelInfo
from gateways.core.jobs.base import JobQueue
from gateways.core.jobs.sqlite import SqliteJobs
from gateways.core.profiles import Profile
from gateways.core.scoring import bm25
from gateways.core.settings import StoreSettings
from gateways.core.stores.base import VectorStore
from gateways.core.stores.edge import store as edge
from gateways.core.stores.pgvector import store as pgvector
from gateways.core.stores.qdrant import store as qdrant
from tests.support.gateways import Gateway, describe
from tests.system.stores.queue_workers import open_worker

MODELS = (
    ModelInfo("tiny", "dense", dimensions=4, max_input_tokens=8),
    ModelInfo("wide", "dense", dimensions=8, max_input_tokens=8),
    ModelInfo("judge", "rerank", 0, 8, scores="cosines", of="tiny"),
    bm25.INFO,
)
DEFAULT = Profile("tiny", 4, "bm25")


class Opened:
    """A store on one event loop, which tests run what they do on."""

    def __init__(self, open_again: Callable[[], StoreSettings], module: ModuleType, runner: asyncio.Runner) -> None:
        self._settings = open_again
        self._module = module
        self.runner = runner
        # The embedded engine keeps tokens in four bits a dimension.
        self.approximate = module is edge
        self.store = self.again()

    def again(self, models: tuple[ModelInfo, ...] = MODELS) -> VectorStore:
        """Open it once more."""
        store: VectorStore = self.runner.run(self._module.open_store(self._settings(), DEFAULT, models))
        self.store = store
        return store


@pytest.fixture(params=["edge", "pgvector", "qdrant"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    """Yield each kind of store, new and empty."""
    module: ModuleType
    if request.param == "edge":
        module, settings = edge, StoreSettings(data_dir=tmp_path)
    elif request.param == "qdrant":
        # The client's own engine; where QDRANT_URL names a server that may be filled, that one.
        module, settings = (
            qdrant,
            StoreSettings(data_dir=tmp_path, store="qdrant", qdrant_url=os.environ.get("QDRANT_URL", "")),
        )
    else:
        url = request.getfixturevalue("database_url")
        module, settings = pgvector, StoreSettings(data_dir=tmp_path, store="pgvector", database_url=url)
    with asyncio.Runner() as runner:
        opened_store = Opened(lambda: settings, module, runner)
        yield opened_store
        runner.run(opened_store.store.close())


@pytest.fixture
def two(database_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[list[Gateway]]:
    """Yield two gateways that share everything but their processes."""
    shared = {"STORE": "pgvector", "JOBS": "postgres", "DATABASE_URL": database_url, "FLUSH_EVERY_S": "0.1"}
    name = getattr(request, "param", "pseudo")
    python = Path(sys.executable)
    gateways = [describe(name, tmp_path / str(n), python=python, **shared) for n in range(2)]
    try:
        for gateway in gateways:
            gateway.start()
        yield gateways
    finally:
        for gateway in gateways:
            gateway.kill()


@pytest.fixture(params=["sqlite", "postgres"])
def queue(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[JobQueue, asyncio.Runner]]:
    """Yield each kind of queue, and the loop to use it on."""
    with asyncio.Runner() as runner:
        if request.param == "sqlite":
            jobs: JobQueue = SqliteJobs(tmp_path / "jobs.sqlite")
        else:
            jobs = runner.run(open_worker(request.getfixturevalue("database_url")))
        yield jobs, runner
        runner.run(jobs.close())
