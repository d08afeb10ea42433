"""`make run`: one interrupt ends every process of a shape."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from bench.targets.ports import free_port
from bench.targets.processes import answers
from tests.support.gateways import ROOT, wait_until

READY_S, STOP_S = 120, 30
KEY = "a-key-of-this-test"


@pytest.mark.parametrize("shape", ["pseudo", "split"])
def test_one_interrupt_ends_all_processes_of_a_shape(shape: str, tmp_path: Path) -> None:
    """
    Ctrl-C ends the front door and the service behind it with exit code 0.

    Keys are the front door's alone: the service behind it would refuse its calls.
    """
    port = free_port()
    keys = tmp_path / "keys.yaml"
    sha256 = hashlib.sha256(KEY.encode()).hexdigest()
    keys.write_text(f"keys:\n  - name: test\n    sha256: {sha256}\n    scopes: [read]\n")
    environ = {**os.environ, "PORT": str(port), "DATA_DIR": str(tmp_path / "data"), "API_KEYS_FILE": str(keys)}
    environ |= {"THREADS": "1", "PRECISION": "int8"} if shape == "split" else {}
    command = [sys.executable, "-m", "scripts.run_gateway", shape]
    running = subprocess.Popen(command, cwd=ROOT, env=environ)  # noqa: S603 our own script
    try:
        with httpx.Client(trust_env=False) as http:
            wait_until(lambda: answers(http, f"http://127.0.0.1:{port}/readyz"), READY_S, "ready")
            url, headers = f"http://127.0.0.1:{port}/v1/embeddings", {"Authorization": f"Bearer {KEY}"}
            embedded = http.post(url, json={"input": "text"}, headers=headers, timeout=READY_S)
            refused = http.post(url, json={"input": "text"})
        running.send_signal(signal.SIGINT)
        code = running.wait(STOP_S)
    finally:
        running.terminate()

    assert code == 0
    assert embedded.status_code == 200, embedded.text
    assert refused.status_code == 401
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False)


def test_a_variable_that_no_process_of_the_shape_reads_ends_it() -> None:
    """The thin gateway without a model has no PRECISION: exit code 2, and the line that names it."""
    command = [sys.executable, "-m", "scripts.run_gateway", "pseudo"]
    environ = os.environ | {"PRECISION": "int8"}
    ended = subprocess.run(  # noqa: S603 our own script
        command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=STOP_S, check=False
    )

    assert ended.returncode == 2
    assert ended.stderr.startswith("PRECISION is set, but the thin gateway")
