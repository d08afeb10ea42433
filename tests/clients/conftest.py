"""The fixtures of the client tests: the gateway's URL, a key, golden vectors. Clients can reach only this machine."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.answers import Golden
from tests.contract.client import decode_floats

# Clients read these variables on import. They turn off price lists, telemetry and tracing.
os.environ.update(
    LITELLM_LOCAL_MODEL_COST_MAP="True",
    HAYSTACK_TELEMETRY_ENABLED="False",
    LANGSMITH_TRACING="false",
    DO_NOT_TRACK="1",
)
LOCAL_HOSTS = {"127.0.0.1", "localhost", "::1"}
GOLDEN = json.loads((Path(__file__).parents[1] / "contract" / "golden.json").read_text(encoding="utf-8"))
SHORT_TOKENS = 64

remote_hosts: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    """Raise UsageError unless GATEWAY_URL is set, and block connections to other machines."""
    if not os.environ.get("GATEWAY_URL"):
        raise pytest.UsageError("GATEWAY_URL is not set: these tests talk to a gateway that runs, http://host:port")
    sys.addaudithook(_block_remote_host)


def _block_remote_host(event: str, arguments: tuple[Any, ...]) -> None:
    """
    Audit hook: raise ConnectionError for a host that is not this machine, and record the host.

    The record shows the attempt even if the client swallows the error.
    """
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host not in LOCAL_HOSTS:
        remote_hosts.append(str(host))
        raise ConnectionError(f"{host} is not this machine")


@pytest.fixture(autouse=True)
def _fail_on_remote_hosts(request: pytest.FixtureRequest) -> Iterator[None]:
    remote_hosts.clear()
    yield
    allowed_hosts = {host for marker in request.node.iter_markers("reaches_for") for host in marker.args}
    assert set(remote_hosts) <= allowed_hosts, f"a client reached for {sorted(set(remote_hosts) - allowed_hosts)}"


@pytest.fixture(scope="session")
def url() -> str:
    """Return the base URL of the gateway, without a path."""
    return os.environ["GATEWAY_URL"].rstrip("/")


@pytest.fixture(scope="session")
def key() -> str:
    """Return a key that the gateway accepts."""
    if not os.environ.get("GATEWAY_KEY"):
        raise pytest.UsageError("GATEWAY_KEY is not set: these tests need a gateway with API_KEYS, and one of them")
    return os.environ["GATEWAY_KEY"]


@pytest.fixture(scope="session")
def golden() -> Golden:
    """
    Return the short golden texts and one passage.

    Texts with line breaks are left out, because some clients remove line breaks.
    """
    cases = [case for case in GOLDEN["cases"] if case["tokens"] <= SHORT_TOKENS or case["name"] == "squad-0"]
    cases = [case for case in cases if not case["options"] and "\n" not in case["text"] and case["text"].strip()]
    assert len(cases) > 30
    return Golden(
        GOLDEN["model"],
        [case["text"] for case in cases],
        [decode_floats(case["vector"]) for case in cases],
        [case["tokens"] for case in cases],
        [(case["ids"], decode_floats(case["vector"])) for case in cases if case.get("ids")],
    )


@pytest.fixture
def tiktoken_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Point tiktoken to the copy of its vocabulary in litellm's package, so that it downloads nothing."""
    spec = importlib.util.find_spec("litellm")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "litellm_core_utils" / "tokenizers"
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(folder))
