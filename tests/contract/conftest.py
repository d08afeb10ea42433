"""The fixtures of the contract tests. A test is skipped if the server lacks a capability that it requires."""

from __future__ import annotations

import tomllib
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.client import PASSAGES, Server, ingest

HERE = Path(__file__).parent
# The requests that probe a server without a list of capabilities. The status 404, 405 or 501 means that it lacks one.
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
# These capabilities are probed always, because no server declares them.
OPERATIONS = ("config", "health", "readiness", "metrics", "openapi")
GOLDEN_MODEL = "all-MiniLM-L6-v2"
MISSING = pytest.StashKey[set[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker that names the capabilities a test requires."""
    config.addinivalue_line("markers", "requires(*capabilities): skipped where the server lacks one of them")


@pytest.fixture(scope="session")
def http(target: Server) -> Iterator[httpx.Client]:
    """Yield a client of the server under test."""
    with httpx.Client(base_url=target.url, timeout=120) as client:
        yield client


@pytest.fixture(scope="session")
def capabilities(http: httpx.Client) -> frozenset[str]:
    """
    Return the capabilities that `/v1/config` declares, with the operations that answer a probe.

    A server that declares no capabilities is probed for each of them.
    """
    capability_names = {
        name
        for name, (method, path) in PROBES.items()
        if http.request(method, path, json={} if method == "POST" else None).status_code not in {404, 405, 501}
    }
    config_capabilities = http.get("/v1/config").json().get("capabilities") if "config" in capability_names else None
    if config_capabilities is not None:
        capability_names = set(config_capabilities) | (capability_names & set(OPERATIONS))
    elif {"ingest", "search"} <= capability_names:
        capability_names |= {"documents", "filter"}
    found = find_golden_capabilities(http) | find_second_model(http) | find_token_ids(http)
    return frozenset(capability_names | found)


def find_golden_capabilities(http: httpx.Client) -> set[str]:
    """Return `semantics` if the model of the golden vectors is served, with `golden` if its precision is fp32."""
    response = http.get(f"/v1/models/{GOLDEN_MODEL}")
    if response.status_code != 200:
        return set()
    return {"semantics", "golden"} if response.json().get("precision", "fp32") == "fp32" else {"semantics"}


def find_second_model(http: httpx.Client) -> set[str]:
    """Return `second_model` if more than one dense model is served."""
    response = http.get("/v1/models")
    kinds = [entry.get("kind") for entry in response.json()["data"]] if response.status_code == 200 else []
    return {"second_model"} if kinds.count("dense") > 1 else set()


def find_token_ids(http: httpx.Client) -> set[str]:
    """Return `token_ids` if the server takes token ids as an input."""
    return {"token_ids"} if http.post("/v1/embeddings", json={"input": [1]}).status_code == 200 else set()


@pytest.fixture(autouse=True)
def _skip_incapable(request: pytest.FixtureRequest) -> None:
    required = {name for marker in request.node.iter_markers("requires") for name in marker.args}
    missing = required - request.getfixturevalue("capabilities") if required else set()
    if missing:
        request.node.stash[MISSING] = missing
        pytest.skip(f"the server lacks: {', '.join(sorted(missing))}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure if allowed_skips.toml does not allow it for the gateway under test."""
    report = yield
    allowed = read_allowed_skips(item.callspec.params["target"]) if hasattr(item, "callspec") else None
    if report.skipped and allowed is not None:
        not_allowed = item.stash.get(MISSING, {"for another reason"}) - allowed.keys()
        if not_allowed:
            report.outcome = "failed"
            report.longrepr = f"a skip that allowed_skips.toml does not allow: {', '.join(sorted(not_allowed))}"
    return report


def read_allowed_skips(target: object) -> dict[str, str] | None:
    """
    Return the capabilities that a gateway of this project may lack, each with its reason.

    Returns None for any other server.
    """
    lists: dict[str, dict[str, str]] = tomllib.loads((HERE / "allowed_skips.toml").read_text())
    return lists.get(str(target))


@pytest.fixture
def collection() -> str:
    """Return the name of a new collection."""
    return f"t-{uuid.uuid4().hex[:16]}"


@pytest.fixture(scope="module")
def manual(http: httpx.Client) -> str:
    """Return the name of a collection with PASSAGES. Tests only read it."""
    name = f"manual-{uuid.uuid4().hex[:12]}"
    documents: list[dict[str, Any]] = [
        {"id": key, "text": text, "metadata": {"device": key in ("pump", "boiler", "coffee")}}
        for key, text in PASSAGES.items()
    ]
    ingest(http, documents, collection=name)
    return name


@pytest.fixture(scope="session")
def model(http: httpx.Client) -> dict[str, Any]:
    """Return `/v1/models/{id}` of the default model, which answers requests without `model`."""
    model_id = http.post("/v1/embeddings", json={"input": "which model answers?"}).json()["model"]
    description: dict[str, Any] = http.get(f"/v1/models/{model_id}").json()
    return description
