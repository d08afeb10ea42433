"""Runs `tests/clients_node/`, the JavaScript clients, against real gateways, where node is installed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.gateways import ROOT, Fleet, describe
from tests.test_clients import KEY, KEY_SETTINGS, QUEUE_SETTINGS

SOURCE = Path(__file__).with_name("clients_node")
LIMIT_S = 300
Run = Callable[..., str]

pytestmark = [pytest.mark.gateway("onnx_py"), pytest.mark.program("npm")]


@pytest.fixture(scope="module")
def run() -> Run:
    """Return a function that runs one file of tests; the packages are installed once for each lock file."""
    folder = install()

    def run_file(name: str, url: str, **variables: str) -> str:
        # Modules are found beside the file that imports them, so the tests are copied to their packages.
        tests = folder / "tests" / "clients_node"
        shutil.copytree(SOURCE, tests, dirs_exist_ok=True)
        (folder / "tests" / "contract").mkdir(exist_ok=True)
        shutil.copy(ROOT / "tests/contract/golden.json", folder / "tests" / "contract")
        environ = {"PATH": os.environ["PATH"], "GATEWAY_URL": url} | variables
        done = subprocess.run(  # noqa: S603 our own tests
            ["node", "--test", str(tests / name)],  # noqa: S607 found on PATH
            cwd=folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    return run_file


def install() -> Path:
    """Install the packages of the lock file, each by its hash, unless they are there. Returns their folder."""
    lock = (SOURCE / "package-lock.json").read_bytes()
    folder = ROOT / ".cache" / f"clients-node-{hashlib.sha256(lock).hexdigest()[:16]}"
    if not (folder / "node_modules" / ".package-lock.json").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(SOURCE / name, folder)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(command, cwd=folder, check=True, timeout=LIMIT_S)  # noqa: S603 our own packages
    return folder


def test_every_client_gets_its_answers(fleet: Fleet, run: Run) -> None:
    """OpenAI's and Cohere's packages, the AI SDK, and fetch with streams: vectors, rankings and errors."""
    assert "# fail 0" in run("clients.test.mjs", fleet.running("onnx_py").url)


def test_clients_with_a_key(tmp_path: Path, run: Run) -> None:
    """The key of each client is understood, and a wrong one is a 401."""
    gateway = describe("onnx_py", tmp_path, python=None, **KEY_SETTINGS).start()
    try:
        run("keys.test.mjs", gateway.url, GATEWAY_KEY=KEY)
    finally:
        codes = gateway.stop()
    assert not any(codes.values()), codes


def test_clients_of_a_full_queue(tmp_path: Path, run: Run) -> None:
    """Clients wait for Retry-After and get their vectors."""
    gateway = describe("onnx_py", tmp_path, python=None, **QUEUE_SETTINGS).start()
    try:
        run("crowded.test.mjs", gateway.url)
    finally:
        codes = gateway.stop()
    assert not any(codes.values()), codes
