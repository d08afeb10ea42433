"""Serve one gateway in the foreground: `python scripts/run_gateway.py split`. One Ctrl-C ends all its processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parent.parent
# Shape -> its processes, as (environment, module); the last one is the front door and gets PORT.
SHAPES = {
    "python": (("python", "gateways.python"),),
    "onnx_py": (("onnx_py", "gateways.onnx_py"),),
    "split": (("onnx_py", "gateways.split.embed_service"), ("split", "gateways.split.gateway")),
    "pseudo": (("split", "gateways.split.gateway"),),
}


def main() -> None:
    """Start the processes, hand on SIGINT and SIGTERM, end when one of them ends."""
    name = sys.argv[1] if len(sys.argv) == 2 else ""
    if name not in SHAPES:
        raise SystemExit(f"GATEWAY={name or '?'}: choose one of {', '.join(SHAPES)}")
    environ = {**os.environ, "DATA_DIR": os.environ.get("DATA_DIR") or f"data/{name}"}
    if name == "pseudo":
        environ.pop("EMBEDDING_API_URL", None)
    *services, door = SHAPES[name]
    processes = []
    for environment, module in services:
        port = str(free_port())
        processes.append(start(environment, module, environ | {"HOST": "127.0.0.1", "PORT": port, "API_KEYS": ""}))
        environ["EMBEDDING_API_URL"] = f"http://127.0.0.1:{port}"
    processes.append(start(*door, environ))
    raise SystemExit(wait(processes))


def start(environment: str, module: str, environ: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start one process, in a group of its own so that Ctrl-C reaches it through us, once."""
    python = ROOT / ".venvs" / environment / "bin" / "python"
    if not python.is_file():
        raise SystemExit(f"{python.relative_to(ROOT)} is not there: run `make setup`")
    return subprocess.Popen([python, "-m", module], cwd=ROOT, env=environ, start_new_session=True)  # noqa: S603


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


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
