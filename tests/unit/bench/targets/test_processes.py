"""Processes that end with the harness, and ports that only their server gets."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys

import psutil
import pytest

from bench.targets.ports import free_port
from tests.support.gateways import ROOT, wait_until

LAUNCHES = """
import sys, time
from pathlib import Path
from bench.machine import cores
from bench.targets.launcher import launch
print(launch(["sleep", "300"], {}, Path(sys.argv[1]), cores.available()).pid, flush=True)
time.sleep(300)
"""


def ended(pid: int) -> bool:
    """Whether a process is gone, or waits only for its parent to take note."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.skipif(not shutil.which("setpriv"), reason="no setpriv here: apt-get install util-linux")
def test_a_killed_harness_leaves_no_process_behind(tmp_path: object) -> None:
    """SIGKILL of the harness ends what it has launched, though that has a session of its own."""
    command = [sys.executable, "-c", LAUNCHES, f"{tmp_path}/log"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as harness:  # noqa: S603
        assert harness.stdout is not None
        launched = int(harness.stdout.readline())
        assert not ended(launched)
        harness.kill()
    wait_until(lambda: ended(launched), 10, "the end of what was launched")


@pytest.mark.skipif(sys.platform != "linux", reason="a bound port can be shared with its server on Linux only")
def test_a_port_is_its_servers_alone() -> None:
    """Nobody else can bind it, nothing answers there; a server binds it, and binds it again after a restart."""
    port = free_port()
    with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
        stranger.bind(("127.0.0.1", port))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    for _ in range(2):
        with socket.create_server(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)) as client:
            assert client.getpeername()[1] == port
