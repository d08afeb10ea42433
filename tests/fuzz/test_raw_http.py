"""Any bytes on any connection: the process lives, answers others in time, keeps its memory, and answers in order."""

from __future__ import annotations

import os
import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.fuzz.raw_requests import Exchange, exchange
from tests.support import gateways
from tests.support.raw_http import connected
from tests.support.witness import watched

pytestmark = pytest.mark.gateway("pseudo")

# `make fuzz` sends 100,000.
CASES = int(os.environ.get("FUZZ_RAW_CASES", "1500"))
FIRST = int(os.environ.get("FUZZ_RAW_FIRST", "0"))
CLIENTS = 6
SILENCE_S = 0.02
ANSWER_S = 20
MOST_GROWN_MB = 80
# The test's own clients take processor time from the gateway.
HEALTHZ_S = 1.0
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n")


@pytest.fixture(params=["", "a-key"])
def gateway(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[gateways.Gateway]:
    """Yield a gateway of this test's own, without keys and with one."""
    running = gateways.describe("pseudo", tmp_path, python=None, API_KEYS=request.param, READ_TIMEOUT_S="5").start()
    yield running
    running.kill()


class Fuzz:
    """The statuses of all answers, and what was wrong with some."""

    def __init__(self, gateway: gateways.Gateway) -> None:
        self._gateway = gateway
        self._lock = threading.Lock()
        self.statuses: Counter[int] = Counter()
        self.faults: list[str] = []

    def send(self, seed: int) -> None:
        """Send one exchange, and judge what comes back."""
        case = exchange(seed)
        with connected(self._gateway) as client, suppress(ConnectionError, BrokenPipeError):
            for part in case.parts:
                client.sendall(part)
            self._judge(seed, case, self._receive(client, case) if case.reads else b"")

    def _receive(self, client: socket.socket, case: Exchange) -> bytes:
        """Return what the gateway sends: all answers to valid requests, else what comes before it is silent."""
        received = b""
        client.settimeout(SILENCE_S if case.answers is None else ANSWER_S)
        with suppress(OSError):
            while case.answers is None or len(final_statuses(received)) < case.answers:
                piece = client.recv(1 << 18)
                if not piece:
                    break
                received += piece
        return received

    def _judge(self, seed: int, case: Exchange, received: bytes) -> None:
        statuses = final_statuses(received)
        with self._lock:
            self.statuses.update(statuses)
            if received and not received.startswith(b"HTTP/1.1 "):
                self.faults.append(f"seed {seed}: no answer: {received[:100]!r}")
            if any(status >= 500 for status in statuses):
                self.faults.append(f"seed {seed}: {statuses}")
            if case.answers is not None and len(statuses) != case.answers:
                self.faults.append(f"seed {seed}: {case.answers} requests, answers {statuses}")


def final_statuses(received: bytes) -> list[int]:
    """Return the statuses of the answers, without those that only announce one."""
    return [status for found in STATUS.findall(received) if (status := int(found)) >= 200]


@pytest.mark.timeout(7200)
def test_any_bytes_leave_the_gateway_as_it_was(gateway: gateways.Gateway) -> None:
    """Valid requests have one answer each, in whatever parts they come; nothing is a 5xx or a traceback."""
    fuzz = Fuzz(gateway)
    with watched(gateway) as witness, ThreadPoolExecutor(CLIENTS) as pool:
        for future in [pool.submit(fuzz.send, FIRST + number) for number in range(CASES // 2)]:
            future.result()

    print(f"{CASES // 2} exchanges, answers {dict(sorted(fuzz.statuses.items()))}, "
          f"{witness.grown_mb:.0f} MB, /healthz {witness.slowest_s:.3f} s")  # fmt: skip
    assert not fuzz.faults, "\n".join(fuzz.faults[:20])
    assert not witness.faults
    assert witness.grown_mb < MOST_GROWN_MB
    assert witness.slowest_s < HEALTHZ_S
    assert {200, 400} <= fuzz.statuses.keys()
    assert set(gateway.stop().values()) == {0}
    log = gateway.front.logs[-1].read_text()
    assert "Traceback" not in log, log[-3_000:]
    assert "WARNING" not in log, log[-3_000:]
