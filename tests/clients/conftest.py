"""What a test of a client asks for: where the gateway is, and vectors to hold it to. No client leaves home."""

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
from tests.contract.wire import floats

# Read by the clients when they are imported: no price lists, no telemetry, no tracing.
os.environ.update(
    LITELLM_LOCAL_MODEL_COST_MAP="True",
    HAYSTACK_TELEMETRY_ENABLED="False",
    LANGSMITH_TRACING="false",
    DO_NOT_TRACK="1",
)
HOME = {"127.0.0.1", "localhost", "::1"}
GOLDEN = json.loads((Path(__file__).parents[1] / "contract" / "golden.json").read_text(encoding="utf-8"))
SHORT_TOKENS = 64

left_home: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to run without a gateway: there is nothing to test then, and nothing is skipped here."""
    if not os.environ.get("GATEWAY_URL"):
        raise pytest.UsageError("GATEWAY_URL is not set: these tests talk to a gateway that runs, http://host:port")
    sys.addaudithook(_stay_home)


def _stay_home(event: str, arguments: tuple[Any, ...]) -> None:
    """Stop what would leave this machine, and remember it: a client that swallows the error is found all the same."""
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host not in HOME:
        left_home.append(str(host))
        raise ConnectionError(f"{host} is not this machine")


@pytest.fixture(autouse=True)
def _offline(request: pytest.FixtureRequest) -> Iterator[None]:
    left_home.clear()
    yield
    known = {host for marker in request.node.iter_markers("reaches_for") for host in marker.args}
    assert set(left_home) <= known, f"a client reached for {sorted(set(left_home) - known)}"


@pytest.fixture(scope="session")
def url() -> str:
    """Return where the gateway is, without a path."""
    return os.environ["GATEWAY_URL"].rstrip("/")


@pytest.fixture(scope="session")
def key() -> str:
    """Return a key that the gateway lets in."""
    if not os.environ.get("GATEWAY_KEY"):
        raise pytest.UsageError("GATEWAY_KEY is not set: these tests need a gateway with API_KEYS, and one of them")
    return os.environ["GATEWAY_KEY"]


@pytest.fixture(scope="session")
def golden() -> Golden:
    """Return the golden texts without line breaks, which some clients take out: the short ones, and one passage."""
    cases = [case for case in GOLDEN["cases"] if case["tokens"] <= SHORT_TOKENS or case["name"] == "squad-0"]
    cases = [case for case in cases if not case["options"] and "\n" not in case["text"] and case["text"].strip()]
    assert len(cases) > 30
    return Golden(
        GOLDEN["model"],
        [case["text"] for case in cases],
        [floats(case["vector"]) for case in cases],
        [case["tokens"] for case in cases],
        [(case["ids"], floats(case["vector"])) for case in cases if case.get("ids")],
    )


@pytest.fixture
def tiktoken_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tiktoken find its vocabulary without a download: litellm's package carries the file, tiktoken checks it."""
    spec = importlib.util.find_spec("litellm")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "litellm_core_utils" / "tokenizers"
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(folder))
