"""
Serve one gateway in the foreground: `python -m scripts.run_gateway split`. One Ctrl-C ends all its processes.

Each process gets the variables that it reads: one environment serves both processes of `split`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import FrameType

from gateways.core.process_settings import PROCESSES, environment

ROOT = Path(__file__).resolve().parent.parent
# The processes of each shape as (folder of .venvs, module). The last one serves the clients at PORT.
SHAPES = {
    "python": (("python", "gateways.python"),),
    "onnx_py": (("onnx_py", "gateways.onnx_py"),),
    "split": (("onnx_py", "gateways.split.embed_service"), ("split", "gateways.split.gateway")),
    "pseudo": (("split", "gateways.split.gateway"),),
}
# The front door checks keys and speaks TLS. It calls the embed service by plain HTTP without a key.
FRONT_ONLY = ("API_KEYS", "API_KEYS_FILE", "TLS_CERTFILE", "TLS_KEYFILE")


def main() -> None:
    """Start the processes, hand on SIGINT and SIGTERM, end when one of them ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("gateway", choices=SHAPES, help="the shape; its settings are environment variables")
    name = parser.parse_args().gateway
    environ = {**os.environ, "DATA_DIR": os.environ.get("DATA_DIR") or f"data/{name}"}
    if name == "pseudo":
        environ.pop("EMBEDDING_API_URL", None)
    *services, front = SHAPES[name]
    kinds = [PROCESSES[module] for _, module in SHAPES[name]]
    processes, held = [], list[int]()
    for venv, module in services:
        port = str(free_port(held))
        own = environ | {"HOST": "127.0.0.1", "PORT": port} | dict.fromkeys(FRONT_ONLY, "")
        processes.append(start(venv, module, environment(PROCESSES[module], kinds, own)))
        environ["EMBEDDING_API_URL"] = f"http://127.0.0.1:{port}"
    venv, module = front
    processes.append(start(venv, module, environment(PROCESSES[module], kinds, environ)))
    raise SystemExit(wait(processes))


def start(venv: str, module: str, environ: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start one process, in a group of its own so that Ctrl-C reaches it through us, once; it ends with us."""
    python = ROOT / ".venvs" / venv / "bin" / "python"
    if not python.is_file():
        raise SystemExit(f"{python.relative_to(ROOT)} is not there: run `make setup`")
    command = [*ending_with_parent(), str(python), "-m", module]
    return subprocess.Popen(command, cwd=ROOT, env=environ, start_new_session=True)  # noqa: S603


def ending_with_parent() -> list[str]:
    """Return the command prefix by which Linux sends SIGTERM to a process whose parent ended; empty elsewhere."""
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    prefix = [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []
    works = prefix and subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0  # noqa: S603
    return prefix if works else []


def wait(processes: list[subprocess.Popen[bytes]]) -> int:
    """Wait until one process ends, end the others, front door first, and return the first failure's exit code."""

    running = list(processes)

    def stop(number: int, frame: FrameType | None) -> None:
        while running:  # each is told once: a process that is finishing already would die of a second signal
            running.pop().terminate()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
    stop(signal.SIGTERM, None)
    codes = [process.wait() for process in processes]
    return next((abs(code) for code in codes if code), 0)


def free_port(held: list[int]) -> int:
    """Return a port of 127.0.0.1; a socket bound to it joins `held`, so that no other process is given it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        if sys.platform == "linux":  # there a server may bind what such a socket holds
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.append(os.dup(probe.fileno()))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
