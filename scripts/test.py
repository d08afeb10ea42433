"""
Run the tests in two pytest processes, one a lane: `python -m scripts.test [pytest options]`.

Each lane has its own gateways and ports. Lines are shown as they come, with the lane's name in front; the closing
lines of pytest stand at the end. Exits with 1 when a lane fails, or when no lane ran a test.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench import paths
from bench.targets.processes import parent_death_signal

# The folders that start most gateways of their own; the other lane runs everything else.
SYSTEM = (
    "tests/system/faults",
    "tests/system/parity",
    "tests/system/stores",
    "tests/system/observability",
    "tests/system/security",
    "tests/system/bulk",
    "tests/fuzz",
    "tests/harness",
)
LANES = {"system": SYSTEM, "rest": ("tests", *(f"--ignore={folder}" for folder in SYSTEM))}
NO_TESTS = 5  # pytest's exit code where none was collected: -k may choose from one lane only


@dataclass
class Lane:
    """One pytest process. Its lines are printed with its name in front; the last one is kept."""

    name: str
    popen: subprocess.Popen[str]
    last: str = ""
    reader: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.reader = threading.Thread(target=self._show)
        self.reader.start()

    def _show(self) -> None:
        with self.popen:
            for line in self.popen.stdout or ():
                print(f"{self.name:>6} | {line}", end="", flush=True)
                self.last = line.rstrip() or self.last

    def wait(self) -> int:
        """Return the exit code when all is printed."""
        self.reader.join()
        return self.popen.wait()


def start(name: str, words: Sequence[str]) -> Lane:
    """Start one lane."""
    cache = f"cache_dir=.pytest_cache/{name}"
    command = [*parent_death_signal(), sys.executable, "-m", "pytest", "-o", cache, *words]

    popen = subprocess.Popen(  # noqa: S603 our own tests
        command, cwd=paths.ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    return Lane(name, popen)


def run(lanes: Mapping[str, Sequence[str]], options: Sequence[str] = ()) -> int:
    """Run lanes beside each other, all with the same options; 0 where every lane passed and one ran a test."""
    started_s = time.monotonic()
    running = [start(name, [*words, *options]) for name, words in lanes.items()]
    codes = [lane.wait() for lane in running]
    print()
    for lane in running:
        print(f"{lane.name}: {lane.last}")
    passed = set(codes) <= {0, NO_TESTS} and 0 in codes
    print(f"test: {'passed' if passed else 'FAILED'} after {time.monotonic() - started_s:.0f} s", flush=True)
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(run(LANES, sys.argv[1:]))
