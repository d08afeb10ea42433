"""
Test whether a server conforms to a dialect, and write the matrix of results.

    python -m scripts.checks.conformance http://host:port/v1 openai

The target is a URL, or a name in `bench/targets` or `bench/peers`. A target given by name is started and stopped.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from bench import paths, targets
from bench.errors import BenchError
from bench.machine import cores
from bench.targets import Target
from bench.targets.processes import Place, Server

DIALECTS = ("openai", "tei")


def main() -> None:
    """Run the tests of a dialect against a target. Exits with 0 if no test fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", help="URL, or the name of a target of this project")
    parser.add_argument("dialect", choices=DIALECTS)
    parser.add_argument("--name", help="name of the server in the matrix; default: the target's name or host")
    parser.add_argument("--into", type=Path, default=paths.CONFORMANCE, help="folder of the matrix")
    arguments = parser.parse_args()
    try:
        raise SystemExit(check(arguments))
    except BenchError as error:
        raise SystemExit(str(error)) from None


def check(arguments: argparse.Namespace) -> int:
    """Start the target if it is given by name, run the tests, and return their exit code."""
    if "://" in arguments.target:
        name = arguments.name or re.sub(r"[^\w.-]+", "-", urlsplit(arguments.target).netloc)
        require_answer(arguments.target)
        return run_tests(arguments.target, name, name, arguments)
    [target] = targets.choose([arguments.target], with_peers=False)
    target = allow_token_ids(target)
    target.check_installed()
    pinning = cores.Pinning(cores.available(), cores.available())
    with tempfile.TemporaryDirectory() as work:
        place = Place(pinning=pinning, work=Path(work), logs=Path(work))
        server = Server(target, place, target.name)
        try:
            server.wait_ready()
            return run_tests(server.front.url, arguments.name or target.name, target.title, arguments)
        finally:
            server.stop()


def allow_token_ids(target: Target) -> Target:
    """Return the target with a gateway that takes token ids: both dialects have them, and by default it does not."""
    *others, front = target.roles
    front = dataclasses.replace(front, environ=front.environ | {"ALLOW_TOKEN_IDS": "true"})
    return dataclasses.replace(target, roles=(*others, front))


def require_answer(url: str) -> None:
    """Exit with a message if no server answers at `url`."""
    try:
        httpx.get(url, timeout=10, trust_env=False)
    except httpx.TransportError as error:
        raise SystemExit(f"nobody answers at {url}: {error}") from None


def run_tests(url: str, name: str, title: str, arguments: argparse.Namespace) -> int:
    """Run the dialect's tests against `url`. Returns pytest's exit code."""
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
