"""Images and containers, of docker or of the ENGINE that is named: podman has the same command line."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from tests.support.gateways import ROOT, wait_until

PREFIX = "embedding-gateways"
# As docker-compose.yml runs every service of ours.
LOCKED_UP = ("--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--init")
READY_S = 120


def engine(*arguments: str) -> str:
    """Run the engine and return what it printed; AssertionError with its last words where it fails."""
    name = os.environ.get("ENGINE") or "docker"
    program = shutil.which(name)
    assert program, f"{name} is not installed; ENGINE names another, such as podman"
    done = subprocess.run([program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, f"{name} {' '.join(arguments[:3])} failed:\n{done.stderr[-4000:]}"
    return done.stdout.strip()


def build(name: str, dockerfile: str, *options: str, context: str = ".") -> str:
    """Build an image and return its name; BUILD_OPTIONS has what this machine needs, such as a mirror."""
    image = f"{PREFIX}/{name}"
    given = shlex.split(os.environ.get("BUILD_OPTIONS", ""))
    engine("build", "--file", dockerfile, "--tag", image, *options, *given, context)
    return image


@dataclass(frozen=True)
class Container:
    """A container that serves at port 8000 of its own, here at `url`."""

    name: str

    @property
    def url(self) -> str:
        """Where this machine reaches it."""
        return f"http://{engine('port', self.name, '8000/tcp').splitlines()[0]}"

    def run(self, *command: str) -> str:
        """Run a command inside; AssertionError where it fails."""
        return engine("exec", self.name, *command)

    def healthcheck(self) -> list[str]:
        """Return the command that the image says tells its health."""
        command: list[str] = json.loads(engine("inspect", "--format", "{{json .Config.Healthcheck.Test}}", self.name))
        assert command[0] == "CMD"
        return command[1:]

    def ready(self) -> bool:
        """Whether it says so; AssertionError with its log when it has ended."""
        running = engine("inspect", "--format", "{{.State.Running}}", self.name)
        assert running == "true", engine("logs", "--tail", "40", self.name)
        try:
            return httpx.get(f"{self.url}/readyz", trust_env=False).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        engine("stop", "-t", "20", self.name)
        return int(engine("inspect", "--format", "{{.State.ExitCode}}", self.name))


@contextmanager
def running(image: str, name: str, *options: str) -> Iterator[Container]:
    """Run an image locked up until it is ready; gone, with its volumes, at the end."""
    container = Container(name)
    engine("run", "--detach", "--name", name, *LOCKED_UP, "--publish=127.0.0.1::8000", *options, image)
    try:
        wait_until(container.ready, READY_S, f"{name} to be ready")
        yield container
    finally:
        engine("rm", "--force", "--volumes", name)


@contextmanager
def network(name: str) -> Iterator[str]:
    """A network on which containers find each other by their aliases; gone at the end."""
    engine("network", "create", name)
    try:
        yield name
    finally:
        engine("network", "rm", name)
