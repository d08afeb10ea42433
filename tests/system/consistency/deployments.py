"""Deployments that the consistency test drives: their processes, and the faults that it injects into them."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg

from gateways.admin.snapshot import restore
from tests.support.gateways import Gateway, Process, describe
from tests.support.tcp_proxy import Proxy, Spoil, proxy_to

FLUSH_EVERY_S = "0.1"
RETRY_S = 0.05
# A process stands still, and its disk or database is away, for this time.
PAUSE_S = 0.3
# Short, so that a job of a killed gateway goes on soon, and a process often sleeps for longer.
LEASE_S = 1.0
# Longer than any restart, lease or retry of a gateway.
PATIENCE_S = 90.0
# Ends every other connection to the database.
CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
# The thin gateway gives a call up after this time, so a service that hangs for longer is a 504.
UPSTREAM_TIMEOUT_S = "2"
HANG_S = 3.0
SLOW_S = 0.05
EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
# The time that a fault takes, in that of most others.
COSTS = {"snapshot": 4, "hang": 2, "sleep": 2}
READ_ONLY = "ALTER DATABASE {name} SET default_transaction_read_only = {value}"


class Deployment:
    """One or several gateways over the same data."""

    # A large job, in documents, is still at work when the next operations come. A model takes longer than none.
    large_job = 300

    def __init__(self, gateways: list[Gateway], database_url: str | None = None, proxy: Proxy | None = None) -> None:
        """`proxy` stands before the embed service."""
        # Operations and faults that were done, by name.
        self.counts: Counter[str] = Counter()
        self.gateways = gateways
        self.database_url = database_url
        self._proxy = proxy
        self._clients = [gateway.client(timeout_s=PATIENCE_S) for gateway in gateways]
        self._turn = 0

    def start(self) -> None:
        """Start every process."""
        for gateway in self.gateways:
            gateway.start()

    def kill(self) -> None:
        """Kill every process."""
        for gateway, client in zip(self.gateways, self._clients, strict=True):
            client.close()
            gateway.kill()

    @property
    def faults(self) -> dict[str, Callable[[int], None]]:
        """Return the faults of this deployment by name. A number picks the process."""
        if self.database_url:
            own = {"cut": self.cut_database, "read-only": self.refuse_writes, "sleep": self.sleep_beyond_lease}
        else:
            own = {"full disk": self.fill_disk, "snapshot": self.restore_snapshot}
        return {"kill": self.restart, "pause": self.pause, **own}

    @property
    def upstream_faults(self) -> list[str]:
        """Return the names of the faults of an embed service, [] without one."""
        return [*SPOILED] if self._proxy else []

    def inject(self, number: int) -> None:
        """Inject one of the faults that are due."""
        self.faults[self._pick([*self.faults], number)](number // len(self.faults))

    def _pick(self, names: list[str], number: int) -> str:
        """Return one of the names that are due, and count it. What takes long is done less often."""
        due = min(self.counts[name] * COSTS.get(name, 1) for name in names)
        rarest = [name for name in names if self.counts[name] * COSTS.get(name, 1) == due]
        name = rarest[number % len(rarest)]
        self.counts[name] += 1
        return name

    @property
    def processes(self) -> list[Process]:
        """Return all processes."""
        return [process for gateway in self.gateways for process in gateway.processes.values()]

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """
        Return the answer to a request, which is sent again, to the gateways in turns, while it gets none or a 5xx.

        Raises AssertionError for a 500, which is a fault of the gateway.
        """
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            client = self._clients[self._turn % len(self.gateways)]
            self._turn += 1
            reason = "no answer"
            try:
                response = client.request(method, path, **options)
                if response.status_code < 500 and response.status_code != 429:
                    return response
                reason = response.text
                assert response.status_code != 500, reason
            except httpx.TransportError as error:
                reason = repr(error)
            assert time.monotonic() < deadline_s, f"{method} {path}: {reason}"
            time.sleep(RETRY_S)

    def restart(self, number: int) -> None:
        """Kill a process by `kill -9` and start it again."""
        process = self.processes[number % len(self.processes)]
        process.kill()
        process.start()

    def sleep_beyond_lease(self, number: int) -> None:
        """Let a process sleep while another one takes its jobs over."""
        self.pause(number, LEASE_S + 1)

    def pause(self, number: int, seconds: float = PAUSE_S) -> None:
        """Let a process stand still."""
        process = self.processes[number % len(self.processes)]
        os.kill(process.pid, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            os.kill(process.pid, signal.SIGCONT)

    def fill_disk(self, number: int) -> None:
        """Let no process that holds data make a file longer, as if its disk were full."""
        front = self.gateways[number % len(self.gateways)].front
        soft, hard = resource.prlimit(front.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(front.pid, resource.RLIMIT_FSIZE, (0, hard))
        try:
            time.sleep(PAUSE_S)
        finally:
            resource.prlimit(front.pid, resource.RLIMIT_FSIZE, (soft, hard))

    def restore_snapshot(self, number: int) -> None:
        """Replace the data by a snapshot that the gateway makes while it serves."""
        front = self.gateways[number % len(self.gateways)].front
        folder = Path(front.environ["DATA_DIR"])
        file = front.folder / "snapshot.tar.gz"
        file.write_bytes(self.request("POST", "/v1/snapshot").content)
        front.kill()
        shutil.rmtree(folder)
        restore(folder, file)
        file.unlink()
        front.start()

    @contextmanager
    def spoiled_upstream(self, number: int) -> Iterator[None]:
        """Let the embed service be slow, hang, break off its answers, or send interim responses before them."""
        assert self._proxy is not None
        self._proxy.spoil = SPOILED[self._pick(self.upstream_faults, number)]
        try:
            yield
        finally:
            self._proxy.spoil = None

    def cut_database(self, number: int) -> None:
        """End every connection to the database."""
        self._execute(CUT)

    def refuse_writes(self, number: int) -> None:
        """Make the database read-only for a while."""
        assert self.database_url is not None
        name = self.database_url.partition("?")[0].rpartition("/")[2]
        for value in ("on", "off"):
            self._execute("SET default_transaction_read_only = off", READ_ONLY.format(name=name, value=value), CUT)
            time.sleep(PAUSE_S if value == "on" else 0)

    def _execute(self, *statements: str) -> None:
        assert self.database_url is not None
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())


def _delay(seconds: float) -> Spoil:
    def delayed(piece: bytes) -> bytes:
        time.sleep(seconds)
        return piece

    return delayed


SPOILED: dict[str, Spoil] = {
    "slow": _delay(SLOW_S),
    "hang": _delay(HANG_S),
    "break": lambda piece: None,
    "interim": lambda piece: piece.replace(b"HTTP/1.1 200", EARLY_HINTS + b"HTTP/1.1 200"),
}


@contextmanager
def deployed(name: str, folder: Path, database_url: str | None) -> Iterator[Deployment]:
    """Yield a deployment by its name, started: edge, pgvector or split."""
    with ExitStack() as stack:
        deployment = _describe(name, folder, database_url, stack)
        stack.callback(deployment.kill)
        deployment.start()
        yield deployment


def _describe(name: str, folder: Path, database_url: str | None, stack: ExitStack) -> Deployment:
    python = Path(sys.executable)
    if name == "edge":
        return Deployment([describe("pseudo", folder, python=python, FLUSH_EVERY_S=FLUSH_EVERY_S)])
    if name == "split":
        gateway = describe("split", folder, FLUSH_EVERY_S=FLUSH_EVERY_S, REQUEST_TIMEOUT_S=UPSTREAM_TIMEOUT_S)
        service = urlsplit(gateway.processes["embed"].url)
        proxy = stack.enter_context(proxy_to(str(service.hostname), int(service.port or 0)))
        gateway.front.environ["EMBEDDING_API_URL"] = proxy.url
        deployment = Deployment([gateway], proxy=proxy)
        deployment.large_job = 60
        return deployment
    assert database_url is not None
    shared = {
        "FLUSH_EVERY_S": FLUSH_EVERY_S,
        "STORE": "pgvector",
        "JOBS": "postgres",
        "JOB_LEASE_S": str(LEASE_S),
        "DATABASE_URL": database_url,
    }
    gateways = [describe("pseudo", folder / str(number), python=python, **shared) for number in range(2)]
    return Deployment(gateways, database_url)
