"""Second opinions: the same target under the same load, by a client that is not ours."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.errors import BenchError
from bench.processes import launch, tail

AGREEMENT = 0.05


@dataclass(frozen=True)
class Ask:
    """What a client is to send: each body once, to one path of one server, from these cores."""

    url: str
    path: str
    headers: Mapping[str, str]
    bodies: Path
    concurrency: int
    seconds: int
    cores: tuple[int, ...]
    log: Path


@dataclass(frozen=True)
class Opinion:
    """
    What a client says of its run.

    `requests` were answered, `errors` of them wrong or without a 2xx; `sent` bodies were used up, from the first on.
    `cpu` is its share of the cores it ran on; percentiles are service times as the client counts them.
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
        """Answers a second that were not errors."""
        return (self.requests - self.errors) / self.seconds


def verdict(rps: float, driver_rps: float | None) -> str:
    """Whether a client agrees with the driver on requests a second: within 5 %."""
    if not driver_rps:
        return "the driver has no sound closed row of this load to compare with"
    apart = rps / driver_rps - 1
    word = "agrees" if abs(apart) <= AGREEMENT else "disagrees"
    return f"{word} with the driver: {rps:,.1f} against {driver_rps:,.1f} requests a second ({100 * apart:+.1f} %)"


@contextmanager
def started(argv: Sequence[str], log: Path, on: tuple[int, ...]) -> Iterator[subprocess.Popen[bytes]]:
    """A client's process on these cores, which is gone when the block ends."""
    popen = launch(list(argv), {}, log, on)
    try:
        yield popen
    finally:
        popen.kill()
        popen.wait()


def wait(popen: subprocess.Popen[bytes], log: Path, timeout_s: float) -> None:
    """Return when it ended with 0; raises BenchError with the end of its log otherwise."""
    name = Path(popen.args[0] if isinstance(popen.args, list) else sys.executable).name
    try:
        code = popen.wait(timeout_s)
    except subprocess.TimeoutExpired:
        code = None
    if code != 0:
        said = f"ended with {code}" if code is not None else f"did not end in {timeout_s:.0f} s"
        raise BenchError(f"{name} {said}; the end of its log:\n{tail(log)}")


def children_cpu_s() -> float:
    """CPU seconds of every process that was started here and has ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
