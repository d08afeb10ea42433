"""A campaign: blocks of every target once in random order, each verified, then measured, row by row into runs.csv."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from bench import scenarios, verify
from bench.api import Api
from bench.datasets.stream import TextStream
from bench.errors import AnswerError, BenchError, StartError
from bench.footprint import environments_mb, models_mb
from bench.plan import Cell, Options
from bench.records import Key, Row, Runs
from bench.session import Bench, Live
from bench.targets import Target
from bench.validity import refused, worth_another_try

TWIN = "~twin"
# What the twin enters: the scenarios whose ratios get a verdict, which its spread is the noise of.
TWINNED = ("single", "closed", "server", "offline", "rerank")


@dataclass(frozen=True)
class Work:
    """What one block still has to do with one target."""

    block: int
    target: Target
    cold: list[Cell]
    verified: list[Cell]


def lineup(targets: Sequence[Target], twin: bool) -> list[Target]:
    """The targets of every block: with `twin`, the first ranked one enters twice, the second time as its A/A twin."""
    chosen = list(targets)
    ranked = [target for target in targets if target.ranked and not target.peer]
    if twin and ranked:
        first = next((target for target in ranked if target.name == "onnx_py"), ranked[0])
        chosen.append(replace(first, name=first.name + TWIN, title=f"{first.title}, entered twice"))
    return chosen


def works(targets: Sequence[Target], options: Options, done: set[Key]) -> Iterator[Work]:
    """All that is still to do, block by block, the targets of each in an order of its own."""
    for block in range(1, options.profile.blocks + 1):
        order = list(targets)
        random.Random(options.seed + block).shuffle(order)  # noqa: S311  (reproducible, not secret)
        for target in order:
            cold, verified = _cells(target, options, block, done)
            if cold or verified:
                yield Work(block, target, cold, verified)


def _cells(target: Target, options: Options, block: int, done: set[Key]) -> tuple[list[Cell], list[Cell]]:
    own: list[Cell] = []
    verified: list[Cell] = []
    for name in options.scenarios:
        if not options.runs(name, block) or (target.name.endswith(TWIN) and name not in TWINNED):
            continue
        scenario = scenarios.load(name)
        cells = [cell for cell in scenario.cells(target, options, block) if cell.key not in done]
        (verified if scenario.VERIFIED else own).extend(cells)
    return own, verified


def run(bench: Bench, runs: Runs, todo: Sequence[Work]) -> None:
    """Do it; what does not start or verify is a coded row, and the campaign goes on with the next target."""
    for work in todo:
        for cell in work.cold:
            _measure(bench, runs, cell, None)
        if work.verified:
            _with_server(bench, runs, work)


def _measure(bench: Bench, runs: Runs, cell: Cell, live: Live | None) -> None:
    """Measure a cell, and again while the machine disturbed it; every try is kept."""
    kept: list[Row] = []
    for attempt in range(1, bench.options.profile.tries + 1):
        bench.show.step(str(cell) if attempt == 1 else f"{cell}, again: the machine disturbed it")
        rows = _try(bench, cell, live)
        for row in rows:
            row.replicate += attempt - 1
        kept += rows
        runs.add(rows)
        if not any(worth_another_try(row.codes.split()) for row in rows):
            break
    bench.show.finished(cell, kept)


def _try(bench: Bench, cell: Cell, live: Live | None) -> list[Row]:
    try:
        return _rows(bench, cell, live)
    except StartError as error:
        return [_failed(bench, cell, "E_START", error)]
    except AnswerError as error:
        return [_failed(bench, cell, "E_ERR", error)]


def _rows(bench: Bench, cell: Cell, live: Live | None) -> list[Row]:
    """What the scenario gives; raises StartError when its server died, whatever came of its requests."""
    try:
        rows = scenarios.load(cell.scenario).run(bench, cell, live)
    except AnswerError:
        _check_alive(live)
        raise
    _check_alive(live)
    return rows


def _check_alive(live: Live | None) -> None:
    if live is not None:
        live.running.check_alive()


def _failed(bench: Bench, cell: Cell, code: str, error: Exception) -> Row:
    row = bench.row(cell)
    first, *log = str(error).splitlines()
    telling = [line for line in log if re.search("CRITICAL|ERROR|Error:", line)] or log
    row.codes, row.reason = code, " ".join([first, *telling[-1:]])[:200]
    bench.show.warn(str(error))
    return row


def _with_server(bench: Bench, runs: Runs, work: Work) -> None:
    cell = Cell(work.block, work.target, "verify")
    try:
        index = bench.indexes.get(_original(work.target))
        with bench.start(work.target, f"block{work.block}", index) as running, Api(running) as api:
            bench.show.step(f"{work.target.name} · starting")
            running.wait_ready()
            sample = _sample(bench, work.block)
            texts = TextStream(bench.reference.squad.texts, bench.seed(work.block), held_out=sample.texts)
            live = Live.of(running, api, texts)
            found = verify.verify(
                work.target, api, bench.reference, sample, bench.show.step, ingested=index is not None
            )
            running.check_alive()
            row = verified_row(bench, cell, found)
            _keep(bench, runs, cell, row)
            if refused(row.codes.split()):
                bench.show.skip(len(work.verified))
                return
            for timed in work.verified:
                _measure(bench, runs, timed, live)
        if work.target.durable:  # stopped in order: the next block starts on what this one ingested
            bench.indexes.setdefault(_original(work.target), running.data_dir)
    except StartError as error:
        _keep(bench, runs, cell, _failed(bench, cell, "E_START", error))
        bench.show.skip(len(work.verified))


def _original(target: Target) -> str:
    return target.name.removesuffix(TWIN)


def _sample(bench: Bench, block: int) -> verify.Sample:
    profile = bench.options.profile
    return verify.draw(bench.reference, bench.seed(block), profile.embedded, profile.searched)


def _keep(bench: Bench, runs: Runs, cell: Cell, row: Row) -> None:
    if row.key not in runs.keys or row.codes:
        runs.add([row])
    bench.show.finished(cell, [row])


def verified_row(bench: Bench, cell: Cell, found: verify.Verified) -> Row:
    """What verifying found, as a row; with the footprint, which belongs to the target and not to a load."""
    row = bench.row(cell)
    row.codes, row.reason = " ".join(found.codes), found.reason
    row.documents, row.questions = found.documents, found.questions or None
    if found.ingest_s is not None:
        row.ingest_texts_per_s = len(bench.reference.squad.passages) / found.ingest_s
    row.cosine_min, row.cosine_mean = found.cosine_min, found.cosine_mean
    if found.quality is not None and found.reference_quality is not None:
        row.hit1, row.hit5, row.ndcg10 = vars(found.quality).values()
        row.reference_hit1, row.reference_hit5, row.reference_ndcg10 = vars(found.reference_quality).values()
    if cell.target.roles:
        row.environment_mb = sum(environments_mb(cell.target).values())
        row.model_mb = models_mb(cell.target)
    return row


def ceiling_loads(todo: Sequence[Work]) -> list[tuple[str, int]]:
    """The (route, concurrency) pairs that will be timed."""
    cells = [cell for work in todo for cell in [*work.cold, *work.verified]]
    return sorted({(cell.route, cell.concurrency) for cell in cells if cell.concurrency is not None})


def check_installed(targets: Sequence[Target]) -> None:
    """Raise BenchError that names every environment that is missing."""
    missing: dict[str, str] = {}
    for target in targets:
        try:
            target.check_installed()
        except BenchError as error:
            missing[target.name] = str(error)
    if missing:
        raise BenchError("\n".join(missing.values()))
