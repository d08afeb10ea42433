"""Two revisions of this repository measured in turn on this machine: A B A B …, each time in a new server process."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from bench import calibrate, campaign, ceiling, cores, instructions, paths, targets
from bench.driver.process import Driver
from bench.errors import BenchError
from bench.instructions import CountingBench, CountingDriver
from bench.plan import PROFILES, Cell, Options
from bench.processes import Place
from bench.records import Runs
from bench.report.summary import read_runs
from bench.scenarios import closed
from bench.session import Bench
from bench.show import Terminal
from bench.targets import Target

FOLDER = paths.CACHE / "bench" / "compare"
METRICS = ("cpu_ms_per_req", "instructions", "rps", "p99_ms")
TRIES = 3  # of a window that the machine disturbed


@dataclass(frozen=True)
class Asked:
    """What is measured of both revisions: one cell of the sweep of one target, in so many blocks."""

    revisions: tuple[str, str]
    target: str
    route: str
    concurrency: int
    blocks: int
    metric: str


def measure(asked: Asked) -> tuple[pd.DataFrame, tuple[str, str]]:
    """
    The rows of both, and their names as targets; the rows have `instructions` where that is the metric.

    Raises BenchError for a revision, target, route or metric that is not there. The harness is that of this checkout;
    gateways and target files are those of the revisions, in the environments of this checkout.
    """
    if asked.metric == "instructions":
        instructions.check()
    with _checkouts(asked.revisions) as roots:
        pair = [_target(asked, root, side) for root, side in zip(roots, "ab", strict=True)]
        file, counts = _measure(asked, pair)
    runs = read_runs(file)
    runs["instructions"] = [
        counts.get(at, float("nan")) for at in zip(runs.block.tolist(), runs.target.tolist(), strict=True)
    ]
    return runs, (pair[0].name, pair[1].name)


@contextmanager
def _checkouts(revisions: Sequence[str]) -> Iterator[list[Path]]:
    """A detached worktree of each revision, removed again; one for both where they are the same commit."""
    commits = [
        _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}") for name in revisions
    ]
    FOLDER.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=FOLDER, prefix="trees-") as folder:  # another comparison may run
        roots = [Path(folder) / commit for commit in commits]
        made: list[Path] = []
        try:
            for root in dict.fromkeys(roots):
                _git("worktree", "add", "--detach", "--quiet", str(root), root.name)
                made.append(root)
            yield roots
        finally:
            for root in made:
                _git("worktree", "remove", "--force", str(root))


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=paths.ROOT, capture_output=True, text=True)  # noqa: S603, S607
    except FileNotFoundError as error:
        raise BenchError("revisions are read by git, which is not installed") from error
    if done.returncode:
        raise BenchError(f"git {' '.join(words)}: {done.stderr.strip() or 'there is no such revision'}")
    return done.stdout.strip()


def _target(asked: Asked, root: Path, side: str) -> Target:
    file = root / paths.TARGETS.relative_to(paths.ROOT) / f"{asked.target}.toml"
    if not file.exists():
        known = ", ".join(sorted(other.stem for other in file.parent.glob("*.toml")))
        raise BenchError(f"revision {root.name[:7]} has no target {asked.target!r}; it has {known}")
    target = targets.load(file, asked.target)
    if asked.route not in closed.ROUTES or asked.route not in target.capabilities:
        raise BenchError(f"{asked.target} has no route {asked.route!r}; --route is one of {', '.join(closed.ROUTES)}")
    target.check_installed()
    # Both ingest in every block, even where only one of the two says that its index is durable.
    return replace(target, name=f"{asked.target}@{side}-{root.name[:7]}", root=root, durable=False, device="cpu")


def _measure(asked: Asked, pair: Sequence[Target]) -> tuple[Path, dict[tuple[int, str], float]]:
    """The file of the rows, and instructions a request by (block, target) where they are counted."""
    from bench.run import console, reference

    vectors = reference()
    profile = replace(PROFILES["quick"], blocks=asked.blocks, tries=TRIES)
    options = Options(profile, (asked.concurrency,), ("closed",), client="raw", device="cpu", seed=1)
    folder = FOLDER / f"{datetime.now(UTC):%Y-%m-%dT%H%M%S}"
    place = Place(cores.split(cores.available()), folder / "data", folder / "logs")
    folder.mkdir(parents=True)
    runs, todo = Runs(folder / "runs.csv"), _works(asked, pair)
    cores.pin(place.pinning.driver)
    counting, counts = asked.metric == "instructions", {}
    try:
        with (
            (CountingDriver if counting else Driver)(place.pinning.driver) as driver,
            Terminal(console, len(todo)) as show,
        ):
            ceilings = ceiling.measure(vectors.squad, options, place, driver, campaign.ceiling_loads(todo))
            speed_s = calibrate.seconds(place.pinning.server)
            made = CountingBench if counting else Bench
            bench = made(options, place, driver, vectors, ceilings, show, runs, speed_s, folder / "samples")
            for work in todo:
                campaign.run(bench, runs, [work])
                if isinstance(driver, CountingDriver) and driver.per_request is not None:
                    counts[work.block, work.target.name] = driver.per_request
                    driver.per_request = None
    finally:
        shutil.rmtree(place.work, ignore_errors=True)
    return runs.file, counts


def _works(asked: Asked, pair: Sequence[Target]) -> list[campaign.Work]:
    return [
        campaign.Work(block, target, [], [Cell(block, target, "closed", asked.route, asked.concurrency)])
        for block in range(1, asked.blocks + 1)
        for target in pair
    ]
