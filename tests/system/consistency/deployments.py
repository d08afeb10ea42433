"""Deployments that the consistency test drives: their processes, and the faults that it injects into them."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import psycopg

from tests.support.gateways import Gateway, Process, describe

FLUSH_EVERY_S = "0.1"
RETRY_S = 0.05
# Longer than any restart, lease or retry of a gateway.
PATIENCE_S = 90.0
# Ends every other connection to the database.
CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
READ_ONLY = "ALTER DATABASE {name} SET default_transaction_read_only = {value}"


class Deployment:
    """One or several gateways over the same data."""

    def __init__(self, name: str, gateways: list[Gateway], database_url: str | None = None) -> None:
        self.name = name
        self.gateways = gateways
        self.database_url = database_url
        self._turn = 0

    def start(self) -> None:
        """Start every process."""
        for gateway in self.gateways:
            gateway.start()

    def kill(self) -> None:
        """Kill every process."""
        for gateway in self.gateways:
            gateway.kill()

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
            gateway = self.gateways[self._turn % len(self.gateways)]
            self._turn += 1
            reason = "no answer"
            try:
                with gateway.client(timeout_s=PATIENCE_S) as http:
                    response = http.request(method, path, **options)
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

    def pause(self, number: int, seconds: float) -> None:
        """Let a process stand still."""
        process = self.processes[number % len(self.processes)]
        os.kill(process.pid, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            os.kill(process.pid, signal.SIGCONT)

    def cut_database(self) -> None:
        """End every connection to the database."""
        self._execute(CUT)

    def refuse_writes(self, seconds: float) -> None:
        """Make the database read-only for a while."""
        assert self.database_url is not None
        name = self.database_url.partition("?")[0].rpartition("/")[2]
        for value in ("on", "off"):
            self._execute("SET default_transaction_read_only = off", READ_ONLY.format(name=name, value=value), CUT)
            time.sleep(seconds if value == "on" else 0)

    def _execute(self, *statements: str) -> None:
        assert self.database_url is not None
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())


def make_deployment(name: str, folder: Path, database_url: str | None) -> Deployment:
    """Return a deployment by its name: edge, pgvector or split."""
    python = Path(sys.executable)
    if name == "edge":
        return Deployment(name, [describe("pseudo", folder, python=python, FLUSH_EVERY_S=FLUSH_EVERY_S)])
    if name == "split":
        return Deployment(name, [describe("split", folder, FLUSH_EVERY_S=FLUSH_EVERY_S)])
    assert database_url is not None
    shared = {"FLUSH_EVERY_S": FLUSH_EVERY_S, "STORE": "pgvector", "JOBS": "postgres", "DATABASE_URL": database_url}
    gateways = [describe("pseudo", folder / str(number), python=python, **shared) for number in range(2)]
    return Deployment(name, gateways, database_url)
