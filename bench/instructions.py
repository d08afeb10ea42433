"""Instructions a request: what `perf` counts of a server's processes while the driver's window is open."""

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
from bench.processes import Running
from bench.session import Bench
from bench.targets import Target

EVENT = "instructions:u"  # of user space: the kernel's share depends on the machine
ATTACH_S = 0.3  # perf says nothing when it has attached


def check() -> None:
    """Raise BenchError where perf cannot count instructions."""
    perf = shutil.which("perf")
    if perf is None:
        raise BenchError("instructions are counted by perf, which is not installed; use --metric cpu_ms_per_req")
    done = subprocess.run([perf, "stat", "-x,", "-e", EVENT, "--", "true"], capture_output=True, text=True)  # noqa: S603
    if _counted(done.stderr) is None:
        said = done.stderr.strip().splitlines()[0] if done.stderr.strip() else f"exit code {done.returncode}"
        raise BenchError(f"perf cannot count {EVENT} here ({said}); use --metric cpu_ms_per_req")


def _counted(report: str) -> float | None:
    """The count in what `perf stat -x,` wrote; None where it says that it has none."""
    for line in report.splitlines():
        fields = line.split(",")
        if EVENT in fields and fields[0].isdigit():
            return float(fields[0])
    return None


class CountingDriver(Driver):
    """A driver that counts the instructions of one target in every window; `per_request` is of the last one."""

    def __init__(self, on: tuple[int, ...]) -> None:
        super().__init__(on)
        self.watched: Running | None = None
        self.per_request: float | None = None

    def run(self, load: Load, opened: Callable[[], None] = lambda: None) -> Outcome:
        """Run one load as `Driver.run` does."""
        if self.watched is None:
            return super().run(load, opened)
        pids = [str(member.pid) for process in self.watched.processes for member in process.tree()]
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
            count = _counted(report.read_text())
        self.per_request = None if count is None else count / max(1, len(outcome.latency_ns))
        return outcome


@dataclass(frozen=True)
class CountingBench(Bench):
    """A campaign whose driver counts the instructions of whatever target was started last."""

    def start(self, target: Target, purpose: str, index: Path | None = None) -> Running:
        """Start a target, to be counted from now on."""
        running = super().start(target, purpose, index)
        if isinstance(self.driver, CountingDriver):
            self.driver.watched = running
        return running
