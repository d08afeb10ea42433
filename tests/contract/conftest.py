"""What a contract test asks for: a client of the server under test, and a skip where it lacks a capability."""

from __future__ import annotations

import tomllib
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.wire import PASSAGES, Server, ingest

HERE = Path(__file__).parent
# What a server is asked when it does not declare its capabilities; 404, 405 and 501 mean: it has none of it.
PROBES = {
    "embeddings": ("POST", "/v1/embeddings"),
    "sparse": ("POST", "/v1/embed_sparse"),
    "rerank": ("POST", "/v1/rerank"),
    "dialects": ("POST", "/embed"),
    "models": ("GET", "/v1/models"),
    "ingest": ("POST", "/v1/ingest"),
    "jobs": ("GET", "/v1/jobs"),
    "search": ("POST", "/v1/search"),
    "config": ("GET", "/v1/config"),
    "health": ("GET", "/healthz"),
    "readiness": ("GET", "/readyz"),
    "metrics": ("GET", "/metrics"),
    "openapi": ("GET", "/openapi.json"),
}
# Every probe of this kind is made even when capabilities are declared: nobody declares these.
OPERATIONS = ("config", "health", "readiness", "metrics", "openapi")
GOLDEN_MODEL = "all-MiniLM-L6-v2"
MISSING = pytest.StashKey[set[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker that names what a test needs."""
    config.addinivalue_line("markers", "requires(*capabilities): skipped where the server lacks one of them")


@pytest.fixture(scope="session")
def http(target: Server) -> Iterator[httpx.Client]:
    """Yield a client of the server under test."""
    with httpx.Client(base_url=target.url, timeout=120) as client:
        yield client


@pytest.fixture(scope="session")
def capabilities(http: httpx.Client) -> frozenset[str]:
    """Return what `/v1/config` declares and which operations are answered; without it, what the probes found."""
    present = {
        name
        for name, (method, path) in PROBES.items()
        if http.request(method, path, json={} if method == "POST" else None).status_code not in {404, 405, 501}
    }
    declared = http.get("/v1/config").json().get("capabilities") if "config" in present else None
    if declared is not None:
        present = set(declared) | (present & set(OPERATIONS))
    elif {"ingest", "search"} <= present:
        present |= {"documents", "filter"}
    return frozenset(present | meaning(http) | several(http))


def meaning(http: httpx.Client) -> set[str]:
    """Return `semantics` where the model of the golden vectors is served, and `golden` where it is in fp32."""
    response = http.get(f"/v1/models/{GOLDEN_MODEL}")
    if response.status_code != 200:
        return set()
    return {"semantics", "golden"} if response.json().get("precision", "fp32") == "fp32" else {"semantics"}


def several(http: httpx.Client) -> set[str]:
    """Return `second_model` where more than one dense model is served."""
    listed = http.get("/v1/models")
    kinds = [entry.get("kind") for entry in listed.json()["data"]] if listed.status_code == 200 else []
    return {"second_model"} if kinds.count("dense") > 1 else set()


@pytest.fixture(autouse=True)
def _capable(request: pytest.FixtureRequest) -> None:
    needed = {name for marker in request.node.iter_markers("requires") for name in marker.args}
    missing = needed - request.getfixturevalue("capabilities") if needed else set()
    if missing:
        request.node.stash[MISSING] = missing
        pytest.skip(f"the server lacks: {', '.join(sorted(missing))}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where allowed_skips.toml does not allow it to the gateway under test."""
    report = yield
    allowed = allowed_skips(item.callspec.params["target"]) if hasattr(item, "callspec") else None
    if report.skipped and allowed is not None:
        refused = item.stash.get(MISSING, {"for another reason"}) - allowed.keys()
        if refused:
            report.outcome = "failed"
            report.longrepr = f"a skip that allowed_skips.toml does not allow: {', '.join(sorted(refused))}"
    return report


def allowed_skips(target: object) -> dict[str, str] | None:
    """Return the capabilities a gateway of ours may lack, each with its reason; None for a foreign server."""
    lists: dict[str, dict[str, str]] = tomllib.loads((HERE / "allowed_skips.toml").read_text())
    return lists.get(str(target))


@pytest.fixture
def collection() -> str:
    """Return the name of a collection nobody has used."""
    return f"t-{uuid.uuid4().hex[:16]}"


@pytest.fixture(scope="module")
def manual(http: httpx.Client) -> str:
    """Return a collection with the passages in it; read only."""
    name = f"manual-{uuid.uuid4().hex[:12]}"
    documents: list[dict[str, Any]] = [
        {"id": key, "text": text, "metadata": {"device": key in ("pump", "boiler", "coffee")}}
        for key, text in PASSAGES.items()
    ]
    ingest(http, documents, collection=name)
    return name


@pytest.fixture(scope="session")
def model(http: httpx.Client) -> dict[str, Any]:
    """Return `/v1/models/{id}` of the default model: the one that answers when none is named."""
    answer = http.post("/v1/embeddings", json={"input": "which model answers?"}).json()["model"]
    found: dict[str, Any] = http.get(f"/v1/models/{answer}").json()
    return found
