"""The runner of a campaign: in each block it verifies and measures every target once, in random order."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from bench import scenarios
from bench.datasets.mixes import PREFIX
from bench.datasets.unseen_texts import TextStream
from bench.errors import AnswerError, BenchError, StartError
from bench.measurement.disk_footprint import environments_mb, models_mb
from bench.measurement.plan import Cell, Options
from bench.measurement.session import Bench, Session
from bench.records.refusal_codes import refused, should_retry
from bench.records.runs_csv import TWIN, Key, Row, Runs
from bench.scenarios import StandaloneScenario
from bench.targets import Target
from bench.targets.api_client import Api
from bench.verification import verify
from bench.verification.verify import Verification

# The scenarios of the A/A twin: those whose ratios get a verdict, which needs a noise band.
TWIN_SCENARIOS = ("single", "closed", "server", "slo", "offline", "rerank")
# What a peer is chosen by, in a campaign of a whole profile; `--scenarios` measures the others on peers too.
PEER_SCENARIOS = ("cold", "closed", "slo", "mix", "replay_empty_index")
# What says nothing of a target without a model, in a campaign of a whole profile: the rates that a model bounds.
RANKED_SCENARIOS = ("mix", "lengths", "overload", "crowd", "burst", "soak")


@dataclass(frozen=True)
class Work:
    """The remaining cells of one target in one block: of standalone scenarios, and for its verified server."""

    block: int
    target: Target
    standalone: list[Cell]
    verified: list[Cell]


def add_twin(targets: Sequence[Target], twin: bool) -> list[Target]:
    """Return the targets; with `twin`, also the A/A twin of onnx_py, or of the first ranked target of ours."""
    ranked = [target for target in targets if target.ranked and not target.peer]
    if not twin or not ranked:
        return list(targets)
    original = next((target for target in ranked if target.name == "onnx_py"), ranked[0])
    return [*targets, replace(original, name=original.name + TWIN, title=f"{original.title}, measured twice")]


def plan_work(targets: Sequence[Target], options: Options, done: set[Key]) -> Iterator[Work]:
    """Yield the remaining work, block by block; each block has its own random order of targets."""
    for block in range(1, options.profile.blocks + 1):
        order = list(targets)
        random.Random(options.seed + block).shuffle(order)  # noqa: S311  (reproducible, not secret)
        for target in order:
            standalone, verified = _plan_cells(target, options, block, done)
            if standalone or verified:
                yield Work(block, target, standalone, verified)


def _plan_cells(target: Target, options: Options, block: int, done: set[Key]) -> tuple[list[Cell], list[Cell]]:
    """Return the remaining cells of standalone scenarios and those for a verified server."""
    standalone: list[Cell] = []
    verified: list[Cell] = []
    for name in options.scenarios:
        if not options.includes(name, block) or _is_left_out(target, name, options):
            continue
        scenario = scenarios.load(name)
        cells = [cell for cell in scenario.cells(target, options, block) if cell.key not in done]
        (standalone if isinstance(scenario, StandaloneScenario) else verified).extend(cells)
    return standalone, verified


def _is_left_out(target: Target, scenario: str, options: Options) -> bool:
    """Return whether a twin, a peer or a target without a model does without a scenario."""
    if target.name.endswith(TWIN):
        return scenario not in TWIN_SCENARIOS
    if set(options.scenarios) != set(options.profile.scenarios):
        return False
    return (target.peer and scenario not in PEER_SCENARIOS) or (not target.ranked and scenario in RANKED_SCENARIOS)


def run(bench: Bench, runs: Runs, todo: Sequence[Work]) -> None:
    """Do all work. A target that does not start or verify gives a coded row, and the next target follows."""
    for work in todo:
        for cell in work.standalone:
            _measure(bench, runs, cell)
        if work.verified:
            _measure_verified(bench, runs, work)


def _measure(bench: Bench, runs: Runs, cell: Cell, session: Session | None = None) -> None:
    """Measure a cell, and repeat it while the machine disturbs it; record every try."""
    tries: list[Row] = []
    for attempt in range(1, bench.options.profile.tries + 1):
        bench.show.step(str(cell) if attempt == 1 else f"{cell}, repeated because the machine disturbed it")
        rows = _try_cell(bench, cell, session)
        for row in rows:
            row.replicate += attempt - 1
        tries += rows
        runs.add(rows)
        if not any(should_retry(row.codes.split()) for row in rows):
            break
    bench.show.finished(cell, tries)


def _try_cell(bench: Bench, cell: Cell, session: Session | None) -> list[Row]:
    """Run a cell once. Return its rows, or a row coded E_START or E_ERR."""
    try:
        return _run_scenario(bench, cell, session)
    except StartError as error:
        return [_build_failed_row(bench, cell, "E_START", error)]
    except AnswerError as error:
        return [_build_failed_row(bench, cell, "E_ERR", error)]


def _run_scenario(bench: Bench, cell: Cell, session: Session | None) -> list[Row]:
    """Run a cell's scenario. Raises StartError if the server died, even if the scenario raised AnswerError first."""
    scenario = scenarios.load(cell.scenario)
    if isinstance(scenario, StandaloneScenario):
        return scenario.run_alone(bench, cell)
    if session is None:
        raise BenchError(f"{cell.scenario} needs a verified server")
    try:
        rows = scenario.run(bench, cell, session)
    except AnswerError:
        session.server.check_alive()
        raise
    session.server.check_alive()
    return rows


def _build_failed_row(bench: Bench, cell: Cell, code: str, error: Exception) -> Row:
    """Return a coded row whose reason is the message and the log's last error line."""
    row = bench.row(cell)
    message, *log = str(error).splitlines()
    errors = [line for line in log if re.search("CRITICAL|ERROR|Error:", line)] or log
    row.codes, row.reason = code, " ".join([message, *errors[-1:]])[:200]
    bench.show.warn(str(error))
    return row


def _measure_verified(bench: Bench, runs: Runs, work: Work) -> None:
    """Start the block's server, verify it, and measure its cells if it is sound."""
    cell = Cell(work.block, work.target, "verify")
    try:
        index = bench.indexes.get(_original_name(work.target))
        with bench.start(work.target, f"block{work.block}", index) as server, Api(server) as api:
            bench.show.step(f"{work.target.name} · starting")
            server.wait_ready()
            sample = _draw_sample(bench, work.block)
            texts = TextStream(bench.reference.squad.texts, bench.seed(work.block), held_out=sample.texts)
            session = Session.open(server, api, texts)
            verification = verify.verify(
                work.target, api, bench.reference, sample, bench.show.step, ingested=index is not None
            )
            server.check_alive()
            row = verification_row(bench, cell, verification)
            _record(bench, runs, cell, row)
            if refused(row.codes.split()):
                bench.show.skip(len(work.verified))
                return
            for timed in work.verified:
                _measure(bench, runs, timed, session)
        if work.target.durable:  # after an orderly stop, the next block can start on this index
            bench.indexes.setdefault(_original_name(work.target), server.data_dir)
    except StartError as error:
        _record(bench, runs, cell, _build_failed_row(bench, cell, "E_START", error))
        bench.show.skip(len(work.verified))


def _original_name(target: Target) -> str:
    return target.name.removesuffix(TWIN)


def _draw_sample(bench: Bench, block: int) -> verify.Sample:
    profile = bench.options.profile
    return verify.draw_sample(bench.reference, bench.seed(block), profile.embedded, profile.searched)


def _record(bench: Bench, runs: Runs, cell: Cell, row: Row) -> None:
    """Show the row of a verification; a resumed campaign adds it only if it is new or coded."""
    if row.key not in runs.keys or row.codes:
        runs.add([row])
    bench.show.finished(cell, [row])


def verification_row(bench: Bench, cell: Cell, verification: Verification) -> Row:
    """Return the row of a verification, with the target's disk footprint."""
    row = bench.row(cell)
    row.codes, row.reason = " ".join(verification.codes), verification.reason
    row.documents, row.questions = verification.documents, verification.questions or None
    if verification.ingest_s is not None:
        row.ingest_texts_per_s = len(bench.reference.squad.passages) / verification.ingest_s
    row.cosine_min, row.cosine_mean = verification.cosine_min, verification.cosine_mean
    quality, expected = verification.quality, verification.reference_quality
    if quality is not None and expected is not None:
        row.hit1, row.hit5, row.ndcg10 = quality.hit1, quality.hit5, quality.ndcg10
        row.reference_hit1, row.reference_hit5, row.reference_ndcg10 = expected.hit1, expected.hit5, expected.ndcg10
    if cell.target.roles:
        row.environment_mb = sum(environments_mb(cell.target).values())
        row.model_mb = models_mb(cell.target)
    return row


def ceiling_loads(todo: Sequence[Work]) -> list[tuple[str, int]]:
    """Return the (route, concurrency) pairs that will be timed; a mix has no ceiling, because it is no one route."""
    cells = [cell for work in todo for cell in [*work.standalone, *work.verified]]
    loads = {(cell.route, cell.concurrency) for cell in cells if not cell.route.startswith(PREFIX)}
    return sorted((route, concurrency) for route, concurrency in loads if concurrency is not None)


def check_installed(targets: Sequence[Target]) -> None:
    """Raise BenchError that names every missing environment."""
    missing: dict[str, str] = {}
    for target in targets:
        try:
            target.check_installed()
        except BenchError as error:
            missing[target.name] = str(error)
    if missing:
        raise BenchError("\n".join(missing.values()))
