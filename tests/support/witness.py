"""A witness of a process under attack: its memory, and how long `/healthz` takes, until the attack is over."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support.gateways import Gateway

PAGE_BYTES = 4_096
PAUSE_S = 0.05


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process in MB (10^6)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES / 1e6


class Witness:
    """The highest memory in MB above the first, and the longest time of `/healthz` in seconds."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._first_mb = resident_mb(gateway.front.pid)
        self._over = threading.Event()
        self.grown_mb = self.slowest_s = 0.0
        self.asked = 0
        self.faults: list[str] = []

    def watch(self) -> None:
        """Ask until `stop`."""
        with httpx.Client(base_url=self._gateway.url, trust_env=False, timeout=20) as http:
            while not self._over.is_set():
                self._ask(http)
                time.sleep(PAUSE_S)

    def _ask(self, http: httpx.Client) -> None:
        begun_s = time.perf_counter()
        try:
            status = http.get("/healthz").status_code
            if status != 200:
                self.faults.append(f"/healthz was {status}")
        except httpx.HTTPError as error:
            self.faults.append(repr(error))
        self.slowest_s = max(self.slowest_s, time.perf_counter() - begun_s)
        self.grown_mb = max(self.grown_mb, resident_mb(self._gateway.front.pid) - self._first_mb)
        self.asked += 1

    def stop(self) -> None:
        """End the watch."""
        self._over.set()


@contextmanager
def watched(gateway: Gateway) -> Iterator[Witness]:
    """Watch a gateway while the block runs."""
    witness = Witness(gateway)
    thread = threading.Thread(target=witness.watch)
    thread.start()
    try:
        yield witness
    finally:
        witness.stop()
        thread.join()
