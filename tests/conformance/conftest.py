"""
The fixtures of the conformance tests, and the matrix of a run.

Environment variables:

- GATEWAY_URL is the base URL that a client of the dialect is configured with. Without it the gateways of this project
  are started. They must pass every test; a skip counts as a failure.
- DIALECT selects the files of one dialect.
- MODEL and API_KEY are sent to servers that need them.
- MATRIX is the output folder of the matrix. SERVER is the name of its files. TITLE is the name of the server in it.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.conformance.client import OpenAI, Tei, find_openai, find_tei
from tests.conformance.matrix import Matrix, Row, make_row
from tests.contract.client import Server

ROWS = pytest.StashKey[dict[str, Row]]()


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Ignore the files of every dialect but DIALECT."""
    dialect = os.environ.get("DIALECT")
    if dialect and collection_path.name.startswith("test_"):
        return collection_path.stem.split("_")[1] != dialect
    return None


@pytest.fixture(scope="session")
def http(target: Server) -> Iterator[httpx.Client]:
    """Yield a client of the server. Like OpenAI's client, it sends a key with every request."""
    key = os.environ.get("API_KEY", "not-needed")
    # Without the path: each dialect has its own base path.
    parts = urlsplit(target.url)
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(
        base_url=f"{parts.scheme}://{parts.netloc}", headers=headers, timeout=120, trust_env=False
    ) as client:
        yield client


@pytest.fixture(scope="session")
def openai(http: httpx.Client, target: Server) -> OpenAI:
    """Return OpenAI's routes of the server, with or without `/v1`."""
    routes = find_openai(http, urlsplit(target.url).path.rstrip("/"), os.environ.get("MODEL"))
    if routes is None:
        pytest.skip("there is no POST /v1/embeddings and no POST /embeddings")
    return routes


@pytest.fixture(scope="session")
def tei(http: httpx.Client, target: Server) -> Tei:
    """Return TEI's routes of the server."""
    return find_tei(http, urlsplit(target.url).path.rstrip("/"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the row of the test. A skip against a gateway of this project becomes a failure."""
    report = yield
    row = make_row(item, report)
    if row:
        rows = item.session.stash.setdefault(ROWS, {})
        # The first verdict counts, unless a later phase fails.
        if item.nodeid not in rows or row.outcome == "fail":
            rows[item.nodeid] = row
    if report.skipped and "GATEWAY_URL" not in os.environ:
        report.outcome = "failed"
        report.longrepr = f"our gateways offer everything: {row.seen if row else report.longrepr}"
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the matrix into the folder MATRIX, if it is set."""
    folder, rows = os.environ.get("MATRIX"), session.stash.get(ROWS, {})
    if folder and rows:
        matrix = Matrix(os.environ["SERVER"], os.environ["TITLE"], os.environ["DIALECT"], list(rows.values()))
        page = matrix.write(Path(folder))
        print(f"\n\n{page.read_text()}")
