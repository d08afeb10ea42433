"""
Make small faults in a copy of the tree, one at a time, and run the tests that must notice them.

    python -m scripts.checks.mutants [part of a name]

The mutants are in mutants.toml. A mutant is killed if a test fails or the tests hang, and survived if they pass.
Exits with 1 if fewer than 90 % are killed, if a mutant no longer fits its file, or if it cannot be tested.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from bench import paths

MUTANTS = Path(__file__).with_suffix(".toml")
# What the tests of the mutants import or read.
COPIED = ("gateways", "bench", "scripts", "tests", "pyproject.toml", "models.yaml")
MIN_KILLED = 0.9
TIMEOUT_S = 300
PASSED, FAILED = 0, 1  # exit codes of pytest; every other one means that the tests did not run

Verdict: TypeAlias = Literal["killed", "survived", "stale", "broken"]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A fault: in `file` the text `old`, which stands there once, becomes `new`. `tests` must notice it."""

    name: str
    file: str
    old: str
    new: str
    tests: Sequence[str]

    def fits(self, tree: Path) -> bool:
        """Return whether `old` stands exactly once in the file."""
        file = tree / self.file
        return file.is_file() and file.read_text(encoding="utf-8").count(self.old) == 1


def read_mutants(file: Path = MUTANTS) -> list[Mutant]:
    """Return the mutants of a file."""
    return [Mutant(**entry) for entry in tomllib.loads(file.read_text(encoding="utf-8"))["mutant"]]


def copy_tree(root: Path, copy: Path) -> None:
    """Copy the code and the tests, without compiled files."""
    for name in COPIED:
        if (root / name).is_dir():
            shutil.copytree(root / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (root / name).exists():
            shutil.copy(root / name, copy)


def run_tests(tree: Path, tests: Iterable[str]) -> int:
    """Return pytest's exit code, FAILED if the tests hang."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    # Python takes a compiled file for the newest one if size and second are equal, as they are for many mutants.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    try:
        done = subprocess.run(  # noqa: S603 our own tests
            command, cwd=tree, env=environment, capture_output=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return FAILED
    return done.returncode


def judge(mutant: Mutant, tree: Path) -> Verdict:
    """Make one mutant, run its tests, and restore the file."""
    if not mutant.fits(tree):
        return "stale"
    file = tree / mutant.file
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        code = run_tests(tree, mutant.tests)
    finally:
        file.write_text(text, encoding="utf-8")
    return "survived" if code == PASSED else "killed" if code == FAILED else "broken"


def check(mutants: Sequence[Mutant], root: Path) -> int:
    """Judge mutants of the tree at `root`. Returns the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        copy_tree(root, tree)
        if run_tests(tree, sorted({test for mutant in mutants for test in mutant.tests})) != PASSED:
            print("mutants: their tests do not pass without a mutant", file=sys.stderr)
            return 1
        verdicts: Counter[Verdict] = Counter()
        for mutant in mutants:
            started_s = time.monotonic()
            verdict = judge(mutant, tree)
            verdicts[verdict] += 1
            print(f"{verdict:8} {time.monotonic() - started_s:5.1f} s  {mutant.name}", flush=True)
    print(f"mutants: {verdicts['killed']} of {len(mutants)} killed")
    return exit_code(verdicts)


def exit_code(verdicts: Mapping[Verdict, int]) -> int:
    """Return 0 if all mutants could be judged and enough of them are killed, else 1."""
    judged = verdicts.get("killed", 0) + verdicts.get("survived", 0)
    return int(judged < sum(verdicts.values()) or verdicts.get("killed", 0) < MIN_KILLED * judged)


def main(arguments: Sequence[str]) -> int:
    """Judge all mutants, or those whose name contains the argument."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", help="words that the names of the mutants contain; default: all mutants")
    words = " ".join(parser.parse_args(arguments).name)
    mutants = [mutant for mutant in read_mutants() if words in mutant.name]
    if not mutants:
        raise SystemExit(f"mutants: no name contains {words!r}")
    return check(mutants, paths.ROOT)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
