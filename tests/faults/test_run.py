"""`make run`: one interrupt ends every process of a shape."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
READY_S, STOP_S = 120, 30


@pytest.mark.parametrize("shape", ["pseudo", "split"])
def test_one_interrupt_ends_all_processes_of_a_shape(shape: str, tmp_path: Path) -> None:
    """Ctrl-C reaches the front door and what stands behind it; the exit code is 0 and the port is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = {**os.environ, "PORT": str(port), "DATA_DIR": str(tmp_path), "THREADS": "1"}
    command = [sys.executable, "scripts/run_gateway.py", shape]
    running = subprocess.Popen(command, cwd=ROOT, env=environ)  # noqa: S603 our own script
    try:
        answers_until_ready(f"http://127.0.0.1:{port}/readyz")
        running.send_signal(signal.SIGINT)
        code = running.wait(STOP_S)
    finally:
        running.terminate()

    assert code == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False)


def answers_until_ready(url: str) -> None:
    """Poll until the gateway is ready; the deadline fails the test."""
    deadline_s = time.monotonic() + READY_S
    while time.monotonic() < deadline_s:
        try:
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail(f"{url} did not become ready within {READY_S} s")
