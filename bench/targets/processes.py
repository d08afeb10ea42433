"""The processes of a target: started on the server cores, awaited, and stopped."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

import httpx
import psutil

from bench import paths
from bench.errors import StartError, TargetError
from bench.machine import cores, gpu
from bench.machine.device_names import is_gpu
from bench.targets import Role, Target
from bench.targets.launcher import launch
from bench.targets.ports import free_port

START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Place:
    """
    The cores, the work folder and the log folder of a campaign's processes.

    `role_cores` gives the roles that it names cores of their own; the others share the server's cores.
    """

    pinning: cores.Pinning
    work: Path
    logs: Path
    role_cores: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def cores_of(self, role: str) -> tuple[int, ...]:
        """Return the cores of a role."""
        return self.role_cores.get(role, self.pinning.server)

    def threads_of(self, role: str) -> int:
        """Return the number of a role's model threads: one per core."""
        return max(1, len(self.cores_of(role)))


@dataclass(frozen=True)
class Process:
    """The running process of one role."""

    role: Role
    popen: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        """The URL of its port."""
        return f"http://127.0.0.1:{self.port}"

    def tree(self) -> list[psutil.Process]:
        """Return the process and its descendants that are alive."""
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(self.popen.pid)
            return [root, *root.children(recursive=True)]
        return []


class Server:
    """
    A started target with its processes. Leaving the context stops them.

    All roles start at once, as under an orchestrator; `wait_ready` waits for them. The data folder is a copy of
    `index`, or empty for None. `card` is the GPU that the target may use and `card_mib` its memory in use before the
    start; both are None without a GPU.
    """

    def __init__(self, target: Target, place: Place, name: str, index: Path | None = None) -> None:
        self.target = target
        self.place = place
        self.data_dir = place.work / name
        if index is None:
            self.data_dir.mkdir(parents=True)
        else:
            shutil.copytree(index, self.data_dir)
        place.logs.mkdir(parents=True, exist_ok=True)
        self.card = gpu.card_of(target.device)
        self.card_mib = self.card.used_mib() if self.card else None
        self.started_at = time.perf_counter()
        self.processes: list[Process] = []
        self._start(name)

    def _start(self, name: str) -> None:
        ports = {role.name: free_port() for role in self.target.roles}
        self.started_at = time.perf_counter()
        for role in self.target.roles:
            values = placeholders(self.target, role, ports, self.place, self.data_dir)
            log = self.place.logs / f"{name}-{role.name}.log"
            popen = launch(
                [fill(word, values) for word in role.argv],
                {key: fill(value, values) for key, value in role.environ.items()},
                log,
                self.place.cores_of(role.name),
                self.target.root,
            )
            self.processes.append(Process(role, popen, ports[role.name], log))

    @property
    def front(self) -> Process:
        """The process to which clients connect; an external target has none."""
        return self.processes[-1]

    @property
    def url(self) -> str:
        """The URL to which clients connect."""
        return self.target.url or self.front.url

    @property
    def host(self) -> str:
        """The host of `url`."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port of `url`."""
        parts = urlsplit(self.url)
        return parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def accounted(self) -> bool:
        """Whether the target's CPU use here is known: the harness started it, or it runs on another machine."""
        return not self.target.url or self.target.remote

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until every role answers 200 on its ready path, or an external server accepts. Raises StartError."""
        if self.target.url:
            self._check_reachable()
        with httpx.Client(trust_env=False, timeout=5) as client:
            for process in self.processes:
                self.wait(partial(answers, client, process.url + process.role.ready), timeout_s)

    def _check_reachable(self) -> None:
        try:
            socket.create_connection((self.host, self.port), timeout=5).close()
        except OSError as error:
            raise StartError(
                f"{self.target.name}: nothing answers at {self.url} ({error}); start it first"
            ) from error

    def wait(self, condition: Callable[[], bool], timeout_s: float = START_TIMEOUT_S, every_s: float = 0.01) -> None:
        """Poll a condition until it holds. Raises StartError if a role ends first or at the timeout."""
        deadline = time.perf_counter() + timeout_s
        while not condition():
            self.check_alive()
            if time.perf_counter() > deadline:
                raise StartError(self._describe_failure(self.front, f"was not ready after {timeout_s:.0f} s"))
            time.sleep(every_s)

    def check_alive(self) -> None:
        """Raise StartError with the end of the log if a role has ended."""
        for process in self.processes:
            if process.popen.poll() is not None:
                raise StartError(self._describe_failure(process, f"ended with {process.popen.returncode}"))

    def _describe_failure(self, process: Process, failure: str) -> str:
        return f"{self.target.name}/{process.role.name} {failure}; the end of its log:\n{tail(process.log)}"

    @property
    def core_count(self) -> int:
        """The number of cores of all roles together; 0 for an external target."""
        return len({core for process in self.processes for core in self.place.cores_of(process.role.name)})

    def on_own_cores(self) -> bool:
        """Return whether the affinity of every thread lies within its role's cores; False if one is unreadable."""
        if not hasattr(os, "sched_getaffinity"):
            return False
        try:
            return all(
                _get_affinity(thread) <= set(self.place.cores_of(process.role.name))
                for process in self.processes
                for thread in _list_threads(process)
            )
        except (psutil.AccessDenied, PermissionError):
            return False

    def stop(self) -> None:
        """Send SIGTERM to each role, the front one first; after 10 s send SIGKILL to the processes still alive."""
        trees = [(process, process.tree()) for process in reversed(self.processes)]
        for process, _ in trees:
            if process.popen.poll() is None:
                process.popen.send_signal(signal.SIGTERM)
        for process, tree in trees:
            with suppress(subprocess.TimeoutExpired):
                process.popen.wait(STOP_TIMEOUT_S)
            for survivor in tree:
                with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                    survivor.kill()
            process.popen.wait()

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def placeholders(target: Target, role: Role, ports: dict[str, int], place: Place, data_dir: Path) -> dict[str, str]:
    """Return the values of a target file's placeholders, for one role of one start."""
    values = {f"role.{name}.url": f"http://127.0.0.1:{port}" for name, port in ports.items()}
    return values | {
        "python": str(role.python),
        "port": str(ports[role.name]),
        "data_dir": str(data_dir),
        "models_dir": str(paths.models_dir()),
        "model_dir": str(paths.model_dir()),
        "target_dir": str(target.folder),
        "prepared_dir": str(paths.prepared_dir(target.folder)),
        "threads": threads(target, role, place),
        "device": target.device,
    }


def threads(target: Target, role: Role, place: Place) -> str:
    """Return the value of `{threads}`: the role's cores, or 0 for our targets on a GPU, which choose themselves."""
    return "0" if is_gpu(target.device) and not target.peer else str(place.threads_of(role.name))


def fill(text: str, values: dict[str, str]) -> str:
    """Replace each `{name}` by its value. Raises TargetError for an unknown name."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise TargetError(f"unknown placeholder {match[0]}; known: {', '.join(sorted(values))}")
        return values[match[1]]

    return re.sub(r"\{([a-z_.0-9-]+)\}", value, text)


def answers(client: httpx.Client, url: str) -> bool:
    """Return whether a GET of the URL answers 200."""
    try:
        return client.get(url).status_code == 200
    except httpx.TransportError:
        return False


def tail(log: Path, lines: int = 15) -> str:
    """Return the last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _list_threads(process: Process) -> list[int]:
    ids: list[int] = []
    for member in process.tree():
        with suppress(psutil.NoSuchProcess):
            ids.extend(thread.id for thread in member.threads())
    return ids


def _get_affinity(thread: int) -> set[int]:
    try:
        return os.sched_getaffinity(thread)
    except ProcessLookupError:
        return set()
