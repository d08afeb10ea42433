"""Runs `tests/clients/` against each gateway, in the environment that has the packages of the clients."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.gateways import ROOT, Fleet, describe

CLIENTS = ROOT / ".venvs" / "clients" / "bin"
LIMIT_S = 480
# Without the pseudo gateway, because it has no golden vectors.
REAL_GATEWAYS = ("onnx_py", "split", pytest.param("python", marks=pytest.mark.slow("the HTTP code is onnx_py's")))
KEY_GATEWAYS = ("split", pytest.param("onnx_py", marks=pytest.mark.slow("split passes on all that onnx_py says")))
KEY = "the-second-key"
# The settings of a gateway with API keys.
KEY_SETTINGS = {"API_KEYS": f"the-first-key,{KEY}"}
# Only the thin gateway sends a key to an embed service. A gateway with a model refuses the setting.
UPSTREAM_KEY_SETTINGS = {"split": {"EMBEDDING_API_KEY": KEY}}
# The setting of a gateway whose queue is full after two requests of a test.
QUEUE_SETTINGS = {"MAX_QUEUE_TOKENS": "1000"}


def run_tests(url: str, marker_expression: str, **variables: str) -> None:
    """Run the client tests that a marker expression selects. Raises AssertionError with their output if one fails."""
    python = CLIENTS / "python"
    assert python.is_file(), f"{python} is not there: run `make setup`"
    command = [str(python), "-m", "pytest", "tests/clients", "-q", "-p", "no:cacheprovider", "-m", marker_expression]
    process = subprocess.run(  # noqa: S603 our own tests
        command,
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        | {"GATEWAY_URL": url}
        | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert process.returncode == 0, f"{' '.join(command)}\n{process.stdout}"
    print(process.stdout)


@pytest.mark.parametrize("shape", REAL_GATEWAYS)
def test_every_client_gets_its_answers(fleet: Fleet, shape: str) -> None:
    """Every client gets the right vectors and rankings from a gateway without keys."""
    run_tests(fleet.running(shape).url, "not keyed and not crowded")


@pytest.mark.parametrize("shape", KEY_GATEWAYS)
def test_clients_with_a_key(tmp_path: Path, shape: str) -> None:
    """A gateway with API keys accepts the key as each client sends it, and refuses requests without a key."""
    gateway = describe(shape, tmp_path, python=None, **KEY_SETTINGS, **UPSTREAM_KEY_SETTINGS.get(shape, {})).start()
    try:
        run_tests(gateway.url, "keyed", GATEWAY_KEY=KEY)
    finally:
        codes = gateway.stop()
    assert not any(codes.values()), codes


@pytest.mark.parametrize("shape", KEY_GATEWAYS)
def test_clients_of_a_full_queue(tmp_path: Path, shape: str) -> None:
    """Every gateway, the split one too, sends 429 and `Retry-After`. In the end all clients get their vectors."""
    gateway = describe(shape, tmp_path, python=None, **QUEUE_SETTINGS).start()
    try:
        run_tests(gateway.url, "crowded")
    finally:
        codes = gateway.stop()
    assert not any(codes.values()), codes
