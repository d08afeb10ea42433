"""Instructions per request: `perf` counts them for a server's processes while the window is open."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.driver.load import Load, Outcome
from bench.driver.process import Driver
from bench.errors import BenchError
from bench.measurement.session import Bench
from bench.targets import Target
from bench.targets.processes import Server

EVENT = "instructions:u"  # user space only, because the kernel's share depends on the machine
ATTACH_S = 0.3  # perf does not signal that it has attached


def check() -> None:
    """Raise BenchError if perf cannot count instructions here."""
    perf = shutil.which("perf")
    if perf is None:
        raise BenchError("instructions are counted by perf, which is not installed; use --metric cpu_ms_per_req")
    done = subprocess.run([perf, "stat", "-x,", "-e", EVENT, "--", "true"], capture_output=True, text=True)  # noqa: S603
    if _parse_count(done.stderr) is None:
        cause = done.stderr.strip().splitlines()[0] if done.stderr.strip() else f"exit code {done.returncode}"
        raise BenchError(f"perf cannot count {EVENT} here ({cause}); use --metric cpu_ms_per_req")


def _parse_count(report: str) -> float | None:
    """Return the count in a report of `perf stat -x,`; None if it was not counted."""
    for line in report.splitlines():
        fields = line.split(",")
        if EVENT in fields and fields[0].isdigit():
            return float(fields[0])
    return None


class CountingDriver(Driver):
    """A driver that counts the instructions of `server` in every window; `per_request` is that of the last window."""

    def __init__(self, on: tuple[int, ...]) -> None:
        super().__init__(on)
        self.server: Server | None = None
        self.per_request: float | None = None

    def run(self, load: Load, opened: Callable[[], None] = lambda: None) -> Outcome:
        """Run one load like `Driver.run` and count instructions."""
        if self.server is None:
            return super().run(load, opened)
        pids = [str(member.pid) for process in self.server.processes for member in process.tree()]
        counting: list[subprocess.Popen[bytes]] = []
        with TemporaryDirectory() as folder:
            report = Path(folder) / "count"

            def count_and_open() -> None:
                command = ["perf", "stat", "-x,", "-e", EVENT, "-o", str(report), "-p", ",".join(pids)]
                counting.append(subprocess.Popen(command))  # noqa: S603
                time.sleep(ATTACH_S)
                opened()

            try:
                outcome = super().run(load, count_and_open)
            finally:
                for perf in counting:
                    perf.send_signal(signal.SIGINT)
                    perf.wait()
            count = _parse_count(report.read_text())
        self.per_request = None if count is None else count / max(1, outcome.completed)
        return outcome


@dataclass(frozen=True)
class CountingBench(Bench):
    """A campaign whose driver counts the instructions of the server started last."""

    def start(self, target: Target, purpose: str, index: Path | None = None) -> Server:
        """Start a target and count its instructions from now on."""
        server = super().start(target, purpose, index)
        if isinstance(self.driver, CountingDriver):
            self.driver.server = server
        return server
