"""Cross-checks of the driver: the same target under the same load, sent by an independent client."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.errors import BenchError
from bench.targets.launcher import launch
from bench.targets.processes import tail

AGREEMENT = 0.05


@dataclass(frozen=True)
class LoadRequest:
    """The load for an independent client: the bodies of a file, each once, to one path, from these cores."""

    url: str
    path: str
    headers: Mapping[str, str]
    bodies: Path
    concurrency: int
    seconds: int
    cores: tuple[int, ...]
    log: Path


@dataclass(frozen=True)
class ClientResult:
    """
    The result of an independent client.

    `requests` were answered, `errors` of them without a 2xx or wrong. The first `sent` bodies of the file were used.
    `cpu` is the client's share of its cores. Percentiles are service times.
    """

    requests: int
    errors: int
    sent: int
    seconds: float
    cpu: float
    p50_ms: float
    p95_ms: float
    p99_ms: float

    @property
    def rps(self) -> float:
        """Requests per second without errors."""
        return (self.requests - self.errors) / self.seconds


def verdict(rps: float, driver_rps: float | None) -> str:
    """Return a sentence that says whether a client agrees with the driver on requests per second, within 5 %."""
    if not driver_rps:
        return "the driver has no sound closed-loop row of this load to compare with"
    difference = rps / driver_rps - 1
    word = "agrees" if abs(difference) <= AGREEMENT else "disagrees"
    return (
        f"{word} with the driver: {rps:,.1f} against {driver_rps:,.1f} requests a second ({100 * difference:+.1f} %)"
    )


@contextmanager
def started(argv: Sequence[str], log: Path, on: tuple[int, ...]) -> Iterator[subprocess.Popen[bytes]]:
    """Start a client on the cores `on`; kill it when the block ends."""
    popen = launch(list(argv), {}, log, on)
    try:
        yield popen
    finally:
        popen.kill()
        popen.wait()


def wait(popen: subprocess.Popen[bytes], log: Path, timeout_s: float) -> None:
    """Wait until a client exits with 0. Raises BenchError with the end of its log otherwise."""
    name = Path(popen.args[0] if isinstance(popen.args, list) else sys.executable).name
    try:
        code = popen.wait(timeout_s)
    except subprocess.TimeoutExpired:
        code = None
    if code != 0:
        failure = f"ended with {code}" if code is not None else f"did not end in {timeout_s:.0f} s"
        raise BenchError(f"{name} {failure}; the end of its log:\n{tail(log)}")


def children_cpu_s() -> float:
    """Return the CPU seconds of all ended child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
