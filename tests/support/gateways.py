"""Start the real gateways as `bench/targets` describes them, and kill, stop or restart their processes one by one."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from bench import paths, targets
from bench.machine import cores
from bench.targets.launcher import launch
from bench.targets.ports import free_port
from bench.targets.processes import Place, answers, fill, placeholders, tail
from gateways.core.process_settings import PROCESSES, environment

ROOT = paths.ROOT
READY_S = 180.0
STOP_S = 60.0


class StartFailed(Exception):
    """A process ended or never became ready; the message carries the end of its log."""


def wait_until(condition: Callable[[], object], timeout_s: float, what: str) -> None:
    """Poll until the condition holds; AssertionError that says `what` did not happen in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not in {timeout_s:.0f} s: {what}"
        time.sleep(0.01)


@dataclass
class Process:
    """One role. It may be killed and started again, on the same port and the same folder."""

    name: str
    argv: list[str]
    environ: dict[str, str]
    url: str
    ready_url: str
    folder: Path
    logs: list[Path] = field(default_factory=list)
    popen: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def pid(self) -> int:
        """The id of the process; raises StartFailed before its first start."""
        if self.popen is None:
            raise StartFailed(f"{self.name} was not started")
        return self.popen.pid

    def start(self) -> None:
        """Start it, and return once it is ready; StartFailed, and nothing left running, otherwise."""
        self.launch()
        try:
            self.wait_ready()
        except BaseException:
            self.kill()
            raise

    def launch(self) -> None:
        """Start it, and return at once."""
        self.logs.append(self.folder / f"{self.name}-{len(self.logs)}.log")
        self.popen = launch(self.argv, self.environ, self.logs[-1], cores.available())

    def wait_ready(self) -> None:
        """Return once it is ready; StartFailed when it ends first, or takes too long."""
        assert self.popen is not None, f"{self.name} was not started"
        deadline = time.monotonic() + READY_S
        with httpx.Client(trust_env=False, timeout=5) as client:
            while not answers(client, self.ready_url):
                if self.popen.poll() is not None:
                    raise StartFailed(f"{self.name} ended with {self.popen.returncode}:\n{self.log()}")
                if time.monotonic() > deadline:
                    raise StartFailed(f"{self.name} was not ready in {READY_S:.0f} s:\n{self.log()}")
                time.sleep(0.02)

    def client(self, timeout_s: float = 60, headers: dict[str, str] | None = None) -> httpx.Client:
        """A client of what it serves, past any proxy of the environment."""
        return httpx.Client(base_url=self.url, timeout=timeout_s, trust_env=False, headers=headers)

    def log(self) -> str:
        """The last lines it wrote since it was last started."""
        return tail(self.logs[-1], 60)

    def kill(self) -> None:
        """`kill -9`, and wait until it is gone."""
        if self.popen is not None:
            self.popen.kill()
            self.popen.wait(STOP_S)

    def stop(self) -> int:
        """SIGTERM; its exit code. Kills it, and raises TimeoutExpired, when it does not end."""
        assert self.popen is not None, f"{self.name} was not started"
        self.popen.terminate()
        try:
            return self.popen.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


@dataclass
class Gateway:
    """The processes of one target, in start order; the last one is what clients speak to."""

    processes: dict[str, Process]

    @property
    def front(self) -> Process:
        """The process that serves the contract."""
        return list(self.processes.values())[-1]

    @property
    def url(self) -> str:
        """Where the contract is served."""
        return self.front.url

    @property
    def metrics_url(self) -> str:
        """The metrics of the process that runs the model: the first one."""
        return next(iter(self.processes.values())).url + "/metrics"

    def client(self, timeout_s: float = 60, headers: dict[str, str] | None = None) -> httpx.Client:
        """A client of the contract."""
        return self.front.client(timeout_s, headers)

    def start(self) -> Gateway:
        """Start every process, each ready before the next; when one fails, none is left running."""
        try:
            for process in self.processes.values():
                process.start()
        except BaseException:
            self.kill()
            raise
        return self

    def kill(self) -> None:
        """`kill -9` of every process."""
        for process in self.processes.values():
            process.kill()

    def stop(self) -> dict[str, int]:
        """SIGTERM to each process from the front backwards; their exit codes."""
        return {name: process.stop() for name, process in reversed(self.processes.items())}


def describe(name: str, folder: Path, *, python: Path | None = None, **environ: str) -> Gateway:
    """
    Read `bench/targets/<name>.toml`; data and logs go below `folder`, and nothing starts yet.

    `python` replaces the interpreter of every process. Each process gets the variables of `environ` that it reads.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = targets.load(paths.TARGETS / f"{name}.toml", name)
    everywhere = cores.Pinning(cores.available(), cores.available())
    place = Place(pinning=everywhere, work=folder, logs=folder)
    ports = {role.name: free_port() for role in target.roles}
    kinds = {role.name: PROCESSES[role.argv[-1]] for role in target.roles}
    processes = {}
    for role in target.roles:
        own = environment(kinds[role.name], list(kinds.values()), environ)
        values = placeholders(target, role, ports, place, folder / "data")
        if python is not None:
            values["python"] = str(python)
        url = f"http://127.0.0.1:{ports[role.name]}"
        processes[role.name] = Process(
            name=f"{name}.{role.name}",
            argv=[fill(word, values) for word in role.argv],
            environ={key: fill(value, values) for key, value in role.environ.items()} | own,
            url=url,
            ready_url=url + role.ready,
            folder=folder,
        )
    return Gateway(processes)


class Fleet:
    """Gateways by name, started when first asked for and kept for the session."""

    def __init__(self, make_folder: Callable[[str], Path]) -> None:
        self._make_folder = make_folder
        self._running: dict[str, Gateway] = {}

    def running(self, name: str) -> Gateway:
        """Return the gateway of that name, ready."""
        if name not in self._running:
            # Test after test ingests a little and waits for it. On a slow machine the default wait refuses clients
            # that send all their texts at once; tests of overload start gateways of their own.
            environ = {"FLUSH_EVERY_S": "0.1", "MAX_WAIT_MS": "30000", "ALLOW_TOKEN_IDS": "true"}
            self._running[name] = describe(name, self._make_folder(name), python=None, **environ).start()
        return self._running[name]

    def stop(self) -> dict[str, int]:
        """Stop them all; the exit codes that are not 0, by role."""
        codes: dict[str, int] = {}
        for gateway in self._running.values():
            codes |= gateway.stop()
        return {role: code for role, code in codes.items() if code}
