"""Measure two revisions of this repository on this machine, in turn (A B A B …), each in a new server process."""

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

from bench import paths, targets
from bench.analysis.summary import read_runs
from bench.campaign import runner
from bench.commands.progress import Terminal, console
from bench.commands.reference import load_reference
from bench.driver.process import Driver
from bench.errors import BenchError
from bench.machine import cores, speed
from bench.measurement import client_ceiling, instruction_count
from bench.measurement.instruction_count import CountingBench, CountingDriver
from bench.measurement.plan import PROFILES, Cell, Options
from bench.measurement.session import Bench
from bench.records.runs_csv import Runs
from bench.scenarios import closed, ingest
from bench.targets import Target
from bench.targets.processes import Place

FOLDER = paths.CACHE / "bench" / "compare"
METRICS = ("cpu_ms_per_req", "instructions", "rps", "p99_ms")
ROUTES = (*closed.ROUTES, ingest.ROUTE)
TRIES = 3  # maximum per window that the machine disturbed


@dataclass(frozen=True)
class RevisionComparison:
    """The plan of a comparison: one cell of one target, in `blocks` blocks."""

    revisions: tuple[str, str]
    target: str
    route: str
    concurrency: int
    blocks: int
    metric: str

    @property
    def scenario(self) -> str:
        """The scenario of the cell: the closed-loop sweep, or ingest."""
        return "ingest" if self.route == ingest.ROUTE else "closed"

    @property
    def batch(self) -> int | None:
        """The documents of a request of ingest; None for other routes."""
        return ingest.DOCUMENTS if self.route == ingest.ROUTE else None


def measure(plan: RevisionComparison) -> tuple[pd.DataFrame, tuple[str, str]]:
    """
    Return the rows of both revisions, and their target names. The column `instructions` is NaN for other metrics.

    The gateways and target files are those of the revisions; the harness and the environments are those of this
    checkout. Raises BenchError for an unknown revision, target, route or metric.
    """
    if plan.metric == "instructions":
        instruction_count.check()
    with _checkouts(plan.revisions) as roots:
        pair = [_load_target(plan, root, side) for root, side in zip(roots, "ab", strict=True)]
        file, counts = _measure_pair(plan, pair)
    runs = read_runs(file)
    runs["instructions"] = [
        counts.get(cell, float("nan")) for cell in zip(runs.block.tolist(), runs.target.tolist(), strict=True)
    ]
    return runs, (pair[0].name, pair[1].name)


@contextmanager
def _checkouts(revisions: Sequence[str]) -> Iterator[list[Path]]:
    """Yield a detached worktree per revision, the same for equal commits, and remove them afterwards."""
    commits = [
        _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}") for name in revisions
    ]
    FOLDER.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=FOLDER, prefix="trees-") as folder:  # another comparison may run at the same time
        roots = [Path(folder) / commit for commit in commits]
        worktrees: list[Path] = []
        try:
            for root in dict.fromkeys(roots):
                _git("worktree", "add", "--detach", "--quiet", str(root), root.name)
                worktrees.append(root)
            yield roots
        finally:
            for root in worktrees:
                _git("worktree", "remove", "--force", str(root))


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=paths.ROOT, capture_output=True, text=True)  # noqa: S603, S607
    except FileNotFoundError as error:
        raise BenchError("git is not installed, and --revisions needs it") from error
    if done.returncode:
        raise BenchError(f"git {' '.join(words)}: {done.stderr.strip() or 'there is no such revision'}")
    return done.stdout.strip()


def _load_target(plan: RevisionComparison, root: Path, side: str) -> Target:
    file = root / paths.TARGETS.relative_to(paths.ROOT) / f"{plan.target}.toml"
    if not file.exists():
        names = ", ".join(sorted(other.stem for other in file.parent.glob("*.toml")))
        raise BenchError(f"revision {root.name[:7]} has no target {plan.target!r}; it has {names}")
    target = targets.load(file, plan.target)
    routes = [route for route in ROUTES if route in target.capabilities or (route == ingest.ROUTE and target.ingest)]
    if plan.route not in routes:
        raise BenchError(f"{plan.target} has no route {plan.route!r}; --route is one of {', '.join(routes)}")
    target.check_installed()
    # `durable` may differ between the revisions. Without it, both ingest in every block.
    return replace(target, name=f"{plan.target}@{side}-{root.name[:7]}", root=root, durable=False, device="cpu")


def _measure_pair(plan: RevisionComparison, pair: Sequence[Target]) -> tuple[Path, dict[tuple[int, str], float]]:
    """Return the file of the rows, and instructions per request by (block, target) if they are counted."""
    vectors = load_reference()
    profile = replace(PROFILES["quick"], blocks=plan.blocks, tries=TRIES)
    options = Options(profile, (plan.concurrency,), ("closed",), client="raw", device="cpu", seed=1)
    folder = FOLDER / f"{datetime.now(UTC):%Y-%m-%dT%H%M%S}"
    pinning = cores.choose()
    cores.check(pinning)
    place = Place(pinning, folder / "data", folder / "logs")
    folder.mkdir(parents=True)
    runs, todo = Runs(folder / "runs.csv"), _plan_work(plan, pair)
    cores.pin(place.pinning.driver)
    counting, counts = plan.metric == "instructions", {}
    try:
        with (
            (CountingDriver if counting else Driver)(place.pinning.driver) as driver,
            Terminal(console, len(todo)) as show,
        ):
            loads = [load for load in runner.ceiling_loads(todo) if load[0] in client_ceiling.NULL.capabilities]
            ceilings = client_ceiling.measure(vectors.squad, options, place, driver, loads)
            speed_s = speed.seconds(place.pinning.server)
            bench_type = CountingBench if counting else Bench
            bench = bench_type(options, place, driver, vectors, ceilings, show, runs, speed_s, folder / "samples")
            for work in todo:
                runner.run(bench, runs, [work])
                if isinstance(driver, CountingDriver) and driver.per_request is not None:
                    counts[work.block, work.target.name] = driver.per_request
                    driver.per_request = None
    finally:
        shutil.rmtree(place.work, ignore_errors=True)
    return runs.file, counts


def _plan_work(plan: RevisionComparison, pair: Sequence[Target]) -> list[runner.Work]:
    return [
        runner.Work(block, target, [], [Cell(block, target, plan.scenario, plan.route, plan.concurrency, plan.batch)])
        for block in range(1, plan.blocks + 1)
        for target in pair
    ]
