"""
Run a suite of tests in two pytest processes, one a lane: `python -m scripts.test [--suite NAME] [pytest options]`.

Each lane has its own gateways and ports. Lines are shown as they come, with the lane's name in front; the closing
lines of pytest stand at the end. Exits with 1 when a lane fails, or when no lane ran a test.

The suites are `decide`, which a change has to pass, `system`, the folders that take longest, and `all`: every folder
in one process. `--retry-failed` runs the failed tests once more when nothing else
runs, and names those that passed only then: on a shared machine a test can fail for want of processor time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench import paths
from bench.targets.launcher import parent_death_signal

# What speaks to the four gateways of the session.
CONTRACT = (
    "tests/contract",
    "tests/conformance",
    "tests/test_clients.py",
    "tests/test_clients_node.py",
    "tests/test_docs.py",
    "tests/deploy",
)
# Faults, stores and attacks on processes of their own, and the harness on campaigns of its own.
FAULTS = ("tests/system/faults",)
OTHERS = (
    "tests/system/stores",
    "tests/system/security",
    "tests/system/bulk",
    "tests/system/observability",
    "tests/system/parity",
    "tests/fuzz",
    "tests/harness",
)
SUITES: Mapping[str, Mapping[str, Sequence[str]]] = {
    "decide": {
        "contract": CONTRACT,
        "units": ("tests", *(f"--ignore={place}" for place in (*CONTRACT, *FAULTS, *OTHERS))),
    },
    "system": {"faults": FAULTS, "others": OTHERS},
    "all": {"all": ("tests",)},
}
CACHE = paths.ROOT / ".pytest_cache"  # one folder a lane: pytest keeps there which tests failed
TESTS_FAILED = 1  # pytest's exit code where it ran to its end; others mean that it did not
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
    command = [*parent_death_signal(), sys.executable, "-m", "pytest", "-o", f"cache_dir={CACHE / name}", *words]

    popen = subprocess.Popen(  # noqa: S603 our own tests
        command, cwd=paths.ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    return Lane(name, popen)


def failed(name: str) -> list[str]:
    """Return the tests that failed in a lane's last run, by their ids."""
    kept = CACHE / name / "v" / "cache" / "lastfailed"
    return sorted(json.loads(kept.read_text())) if kept.is_file() else []


def retry(name: str, words: Sequence[str]) -> int:
    """Run what failed in a lane once more, and return the exit code; name what passed only this time."""
    before = failed(name)
    print(f"\nretry: {len(before)} failed tests of lane {name}, one after the other", flush=True)
    code = start(name, [*words, "--last-failed", "--last-failed-no-failures=none"]).wait()
    for test in sorted(set(before) - set(failed(name))):
        print(f"retry: passed only at the second try: {test}", flush=True)
    return TESTS_FAILED if code == NO_TESTS else code


def run(lanes: Mapping[str, Sequence[str]], options: Sequence[str] = (), *, retry_failed: bool = False) -> int:
    """Run lanes beside each other, all with the same options; 0 where every lane passed and one ran a test."""
    started_s = time.monotonic()
    running = [start(name, [*words, *options]) for name, words in lanes.items()]
    codes = {lane.name: lane.wait() for lane in running}
    print()
    for lane in running:
        print(f"{lane.name}: {lane.last}")
    if retry_failed:
        again = [name for name, code in codes.items() if code == TESTS_FAILED]
        codes |= {name: retry(name, [*lanes[name], *options]) for name in again}
    passed = set(codes.values()) <= {0, NO_TESTS} and 0 in codes.values()
    print(f"test: {'passed' if passed else 'FAILED'} after {time.monotonic() - started_s:.0f} s", flush=True)
    return 0 if passed else 1


def main() -> int:
    """Run what the options name; what is not ours is pytest's."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--suite", choices=SUITES, default="decide", help="which folders run (default: %(default)s)")
    parser.add_argument("--retry-failed", action="store_true", help="run failed tests once more, and name them")
    ours, options = parser.parse_known_args()
    return run(SUITES[ours.suite], options, retry_failed=ours.retry_failed)


if __name__ == "__main__":
    raise SystemExit(main())
