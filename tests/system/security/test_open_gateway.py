"""A gateway that is started as it comes: who is let in, and which inputs are taken."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.gateways import ROOT, Gateway, describe

pytestmark = pytest.mark.gateway("pseudo")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Yield a gateway with the settings that it has by default."""
    started = describe("pseudo", tmp_path_factory.mktemp("pseudo")).start()
    yield started
    started.kill()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"input": [7592, 2088]}),
        ("/v1/embeddings", {"input": [[7592], [2088]]}),
        ("/api/v1/embed", {"input": [7592]}),
        ("/embed", {"inputs": [[7592]]}),
        ("/embed", {"texts": [[7592]]}),
        ("/embed_all", {"inputs": [[7592]]}),
        ("/", {"inputs": [7592]}),
    ],
)
def test_token_ids_are_refused(gateway: Gateway, path: str, body: dict[str, Any]) -> None:
    """In every dialect: ids of another vocabulary are other words. The client's option and the setting are named."""
    answer = httpx.post(gateway.url + path, json=body, trust_env=False)

    assert answer.status_code in (400, 422), answer.text
    assert "check_embedding_ctx_length=False" in answer.text
    assert "ALLOW_TOKEN_IDS=true" in answer.text


def test_everybody_is_told_that_everybody_is_let_in(gateway: Gateway) -> None:
    """In the log at the start, and in the configuration."""
    assert "no keys: everyone who reaches" in gateway.front.logs[-1].read_text()
    assert httpx.get(f"{gateway.url}/v1/config", trust_env=False).json()["keys_required"] is False


def test_a_gateway_with_keys_says_so(tmp_path: Path) -> None:
    """Nothing is logged about it."""
    gateway = describe("pseudo", tmp_path, API_KEYS="a-key").start()
    try:
        with gateway.client(headers={"Authorization": "Bearer a-key"}) as http:
            assert http.get("/v1/config").json()["keys_required"] is True
        assert "no keys" not in gateway.front.logs[-1].read_text()
    finally:
        gateway.kill()


def test_a_gateway_does_not_start_with_a_misspelt_key(tmp_path: Path) -> None:
    """API_KEY instead of API_KEYS would let everybody in."""
    environ = {"PATH": os.environ["PATH"], "API_KEY": "secret", "DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "gateways.split.gateway"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603

    assert done.returncode == 2
    assert "Did you mean API_KEYS?" in done.stderr
    assert "secret" not in done.stderr
