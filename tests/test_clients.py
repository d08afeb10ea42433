"""The clients people have, against each gateway: `tests/clients/`, in the environment that holds their packages."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import shapes
from tests.processes import ROOT, Fleet, describe

CLIENTS = ROOT / ".venvs" / "clients" / "bin"
LIMIT_S = 480
# The pseudo gateway knows no vectors to hold a client to.
REAL = [shape for shape in shapes() if shape != "pseudo"]
KEY = "the-second-key"
# What a shape needs to run with a key, or with a queue that two requests of a test fill; `python` shares the code.
GUARDED = {"API_KEYS": f"the-first-key,{KEY}", "EMBEDDING_API_KEY": KEY}
CROWDED = {"MAX_QUEUE_TOKENS": "1000"}


def run_tests(url: str, chosen: str, **environ: str) -> None:
    """Run the clients' tests that a marker expression chooses; AssertionError with what they wrote when one fails."""
    python = CLIENTS / "python"
    assert python.is_file(), f"{python} is not there: run `make setup`"
    command = [str(python), "-m", "pytest", "tests/clients", "-q", "-p", "no:cacheprovider", "-m", chosen]
    done = subprocess.run(  # noqa: S603 our own tests
        command,
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        | {"GATEWAY_URL": url}
        | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}"
    print(done.stdout)


@pytest.mark.parametrize("shape", REAL)
def test_every_client_gets_its_answers(fleet: Fleet, shape: str) -> None:
    """OpenAI's, Cohere's and Hugging Face's clients, LangChain, LlamaIndex, Haystack, litellm, and plain HTTP."""
    run_tests(fleet.running(shape).url, "not keyed and not crowded")


@pytest.mark.parametrize("shape", [shape for shape in REAL if shape != "python"])
def test_clients_with_a_key(tmp_path: Path, shape: str) -> None:
    """Every client's way to send a key opens a gateway that wants one, and no key does not."""
    gateway = describe(shape, tmp_path, python=None, **GUARDED).start()
    try:
        run_tests(gateway.url, "keyed", GATEWAY_KEY=KEY)
    finally:
        codes = gateway.stop()
    assert not any(codes.values()), codes


@pytest.mark.parametrize("shape", [shape for shape in REAL if shape != "python"])
def test_clients_of_a_full_queue(tmp_path: Path, shape: str) -> None:
    """429 and `Retry-After` reach the clients, split shape included, and all get their vectors in the end."""
    gateway = describe(shape, tmp_path, python=None, **CROWDED).start()
    try:
        run_tests(gateway.url, "crowded")
    finally:
        codes = gateway.stop()
    assert not any(codes.values()), codes
