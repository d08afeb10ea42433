"""
What a conformance test asks for, and the matrix that is made of a run.

GATEWAY_URL is the server, as a client of the dialect is given it; DIALECT leaves out the files of other dialects;
MODEL and API_KEY are sent to servers that want them. MATRIX is the folder that a matrix is written to, SERVER the
name of its files, TITLE what it calls the server. Without GATEWAY_URL the gateways of this project are started, and
must do everything.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.conformance.client import OpenAI, Tei, find_openai, find_tei
from tests.conformance.matrix import Matrix, Row, row_of
from tests.contract.wire import Server

ROWS = pytest.StashKey[dict[str, Row]]()


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out the files of a dialect that was not asked for."""
    dialect = os.environ.get("DIALECT")
    if dialect and collection_path.name.startswith("test_"):
        return collection_path.stem.split("_")[1] != dialect
    return None


@pytest.fixture(scope="session")
def http(target: Server) -> Iterator[httpx.Client]:
    """Yield a client of the server; like OpenAI's it always sends a key."""
    key = os.environ.get("API_KEY", "not-needed")
    # Only what the URL names: a client's base path is the dialects' own business.
    parts = urlsplit(target.url)
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(
        base_url=f"{parts.scheme}://{parts.netloc}", headers=headers, timeout=120, trust_env=False
    ) as client:
        yield client


@pytest.fixture(scope="session")
def openai(http: httpx.Client, target: Server) -> OpenAI:
    """Return OpenAI's routes of the server, wherever they are."""
    found = find_openai(http, urlsplit(target.url).path.rstrip("/"), os.environ.get("MODEL"))
    if found is None:
        pytest.skip("there is no POST /v1/embeddings and no POST /embeddings")
    return found


@pytest.fixture(scope="session")
def tei(http: httpx.Client, target: Server) -> Tei:
    """Return TEI's routes of the server."""
    return find_tei(http, urlsplit(target.url).path.rstrip("/"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the row; what one of our own gateways does not offer, it fails."""
    report = yield
    row = row_of(item, report)
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
    """Write the matrix when a folder for it is given."""
    folder, rows = os.environ.get("MATRIX"), session.stash.get(ROWS, {})
    if folder and rows:
        matrix = Matrix(os.environ["SERVER"], os.environ["TITLE"], os.environ["DIALECT"], list(rows.values()))
        page = matrix.write(Path(folder))
        print(f"\n\n{page.read_text()}")
