"""Starts the roles of a target pinned to the server cores, waits for them, and stops only what it started."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

import httpx
import psutil

from bench import cores, gpu, paths
from bench.devices import is_gpu
from bench.errors import StartError, TargetError
from bench.targets import Role, Target

LOOPBACK = ("localhost", "127.0.0.1", "::1")
START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 10.0
KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")
# Left alone, CUDA counts cards by their speed. As NVML counts them, the card that is watched is the one that serves.
GIVEN_ENVIRONMENT = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


@dataclass(frozen=True)
class Place:
    """Where the processes of a campaign run; on which device, each target says itself."""

    pinning: cores.Pinning
    work: Path
    logs: Path

    @property
    def threads(self) -> int:
        """Model threads a server gets: one per core of its own."""
        return max(1, len(self.pinning.server))


@dataclass(frozen=True)
class Process:
    """One role, running."""

    role: Role
    popen: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def tree(self) -> list[psutil.Process]:
        """The process and all its descendants that are alive."""
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(self.popen.pid)
            return [root, *root.children(recursive=True)]
        return []


class Running:
    """
    A target with all its processes; a context manager that stops them.

    Roles are started at once, as an orchestrator would; readiness is theirs to tell. With `index`, the data folder is
    a copy of that one, else it is new and empty. `card` is the GPU that they may run on, and `card_mib` what of its
    memory was taken before they started; None without one.
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
                self.place.pinning.server,
                self.target.root,
            )
            self.processes.append(Process(role, popen, ports[role.name], log))

    @property
    def front(self) -> Process:
        """The process that clients speak to; a foreign target has none."""
        return self.processes[-1]

    @property
    def url(self) -> str:
        """Where clients speak to it."""
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
        """Whether no CPU of this machine is spent by the target unseen: it was started here, or runs elsewhere."""
        return not self.target.url or self.host not in LOOPBACK

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return once every role answers 200 on its ready path, or a foreign server accepts; raises StartError."""
        if self.target.url:
            self._reach()
        with httpx.Client(trust_env=False, timeout=5) as client:
            for process in self.processes:
                self.wait(partial(answers, client, process.url + process.role.ready), timeout_s)

    def _reach(self) -> None:
        try:
            socket.create_connection((self.host, self.port), timeout=5).close()
        except OSError as error:
            raise StartError(
                f"{self.target.name}: nothing answers at {self.url} ({error}); start it first"
            ) from error

    def wait(self, condition: Callable[[], bool], timeout_s: float = START_TIMEOUT_S, every_s: float = 0.01) -> None:
        """Poll a condition until it holds; raises StartError when a role ends first or time runs out."""
        deadline = time.perf_counter() + timeout_s
        while not condition():
            self.check_alive()
            if time.perf_counter() > deadline:
                raise StartError(self._told(self.front, f"not there after {timeout_s:.0f} s"))
            time.sleep(every_s)

    def check_alive(self) -> None:
        """Raise StartError, with the end of its log, when a role has ended."""
        for process in self.processes:
            if process.popen.poll() is not None:
                raise StartError(self._told(process, f"ended with {process.popen.returncode}"))

    def _told(self, process: Process, what: str) -> str:
        return f"{self.target.name}/{process.role.name} {what}; the end of its log:\n{tail(process.log)}"

    def on_server_cores(self) -> bool:
        """Whether every thread of every process started here may run on the server cores only."""
        if not hasattr(os, "sched_getaffinity"):
            return False
        allowed = set(self.place.pinning.server)
        return all(_affinity(thread) <= allowed for process in self.processes for thread in _threads(process))

    def stop(self) -> None:
        """SIGTERM to each role from the front backwards; SIGKILL to what is still there ten seconds later."""
        trees = [(process, process.tree()) for process in reversed(self.processes)]
        for process, _ in trees:
            if process.popen.poll() is None:
                process.popen.send_signal(signal.SIGTERM)
        for process, tree in trees:
            with suppress(subprocess.TimeoutExpired):
                process.popen.wait(STOP_TIMEOUT_S)
            for survivor in tree:
                with suppress(psutil.NoSuchProcess):
                    survivor.kill()
            process.popen.wait()

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def placeholders(target: Target, role: Role, ports: dict[str, int], place: Place, data_dir: Path) -> dict[str, str]:
    """What each placeholder of a target file stands for, in one role of one start."""
    values = {f"role.{name}.url": f"http://127.0.0.1:{port}" for name, port in ports.items()}
    return values | {
        "python": str(role.python),
        "port": str(ports[role.name]),
        "data_dir": str(data_dir),
        "models_dir": str(paths.models_dir()),
        "model_dir": str(paths.model_dir()),
        "target_dir": str(target.folder),
        "threads": threads(target, place),
        "device": target.device,
    }


def threads(target: Target, place: Place) -> str:
    """What `{threads}` stands for: a thread for each core of the server; on a GPU 0: ours choose themselves."""
    return "0" if is_gpu(target.device) and not target.peer else str(place.threads)


def fill(text: str, values: dict[str, str]) -> str:
    """Replace `{name}` by its value; raises TargetError for a name that is not known."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise TargetError(f"unknown placeholder {match[0]}; known: {', '.join(sorted(values))}")
        return values[match[1]]

    return re.sub(r"\{([a-z_.0-9-]+)\}", value, text)


def launch(
    argv: list[str], environ: dict[str, str], log: Path, on: tuple[int, ...], cwd: Path = paths.ROOT
) -> subprocess.Popen[bytes]:
    """Start a process on these cores, in a session of its own so that Ctrl-C reaches the harness alone."""
    kept = {key: os.environ[key] for key in KEPT_ENVIRONMENT if key in os.environ}
    with log.open("wb") as output, cores.pinned(on):
        return subprocess.Popen(  # noqa: S603  (the command is the target file's)
            argv,
            cwd=cwd,
            env=kept | GIVEN_ENVIRONMENT | environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(client: httpx.Client, url: str) -> bool:
    """Whether a GET answers 200."""
    try:
        return client.get(url).status_code == 200
    except httpx.TransportError:
        return False


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _threads(process: Process) -> list[int]:
    found: list[int] = []
    for member in process.tree():
        with suppress(psutil.NoSuchProcess):
            found.extend(thread.id for thread in member.threads())
    return found


def _affinity(thread: int) -> set[int]:
    try:
        return os.sched_getaffinity(thread)
    except ProcessLookupError:
        return set()
