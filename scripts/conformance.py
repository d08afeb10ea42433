"""
Hold a server to a dialect, and write the matrix: `python scripts/conformance.py http://host:port/v1 openai`.

Instead of a URL the target may be a name of `bench/targets` or `bench/peers`, which is started and stopped.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from bench import cores, paths, targets
from bench.errors import BenchError
from bench.processes import Place, Running

DIALECTS = ("openai", "tei")
MATRICES = paths.RESULTS / "conformance"


def main() -> None:
    """Run the tests of one dialect against one target; 0: it does all that it offers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", help="URL, or the name of a target of this project")
    parser.add_argument("dialect", choices=DIALECTS)
    parser.add_argument("--name", help="what the matrix calls the server; default: the target's name or host")
    parser.add_argument("--into", type=Path, default=MATRICES, help="folder of the matrix")
    arguments = parser.parse_args()
    try:
        raise SystemExit(check(arguments))
    except BenchError as error:
        raise SystemExit(str(error)) from None


def check(arguments: argparse.Namespace) -> int:
    """Start the target where it has to be started, and return the exit code of the tests."""
    if "://" in arguments.target:
        name = arguments.name or re.sub(r"[^\w.-]+", "-", urlsplit(arguments.target).netloc)
        assert_answered(arguments.target)
        return run_tests(arguments.target, name, name, arguments)
    [target] = targets.choose([arguments.target], with_peers=False)
    target.check_installed()
    everywhere = cores.Pinning(cores.available(), cores.available())
    with tempfile.TemporaryDirectory() as work:
        place = Place(pinning=everywhere, work=Path(work), logs=Path(work))
        running = Running(target, place, target.name)
        try:
            running.wait_ready()
            return run_tests(running.front.url, arguments.name or target.name, target.title, arguments)
        finally:
            running.stop()


def assert_answered(url: str) -> None:
    """End the program where nobody listens."""
    try:
        httpx.get(url, timeout=10, trust_env=False)
    except httpx.TransportError as error:
        raise SystemExit(f"nobody answers at {url}: {error}") from None


def run_tests(url: str, name: str, title: str, arguments: argparse.Namespace) -> int:
    """Run the dialect's tests against a URL."""
    environ = {
        "GATEWAY_URL": url,
        "DIALECT": arguments.dialect,
        "SERVER": name,
        "TITLE": title,
        "MATRIX": str(arguments.into.resolve()),
    }
    command = [sys.executable, "-m", "pytest", "tests/conformance", "-q", "--tb=no", "-r", ""]
    return subprocess.run(command, cwd=paths.ROOT, env=os.environ | environ, check=False).returncode  # noqa: S603


if __name__ == "__main__":
    main()
