"""Scaling with cores: texts per second of bulk embedding on one core and on all cores."""

from __future__ import annotations

from dataclasses import replace

from bench.datasets.unseen_texts import TextStream
from bench.machine.cores import Pinning
from bench.measurement.plan import Cell, Options
from bench.measurement.session import Bench, Session
from bench.records.runs_csv import Row
from bench.scenarios import offline
from bench.targets import Target
from bench.targets.api_client import Api

HEADLINE = "Texts per second by the number of server cores, with a model thread on each"
BATCH = 64


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """Return one cell, of two rows, for a target of ours with a model."""
    applies = target.ranked and target.roles and not target.peer and "embeddings" in target.capabilities
    return [Cell(block, target, "threads", "embeddings", 1, BATCH)] if applies else []


def run_alone(bench: Bench, cell: Cell) -> list[Row]:
    """
    Measure the offline load on a server with one core, and on a server with all cores.

    With all cores, the driver shares one of them and only waits while the server works.
    """
    pinning = bench.place.pinning
    all_cores = sorted({*pinning.server, *pinning.driver})
    counts = dict.fromkeys((1, len(all_cores)))
    return [_measure_on(bench, replace(cell, concurrency=count), tuple(all_cores[-count:])) for count in counts]


def _measure_on(bench: Bench, cell: Cell, on: tuple[int, ...]) -> Row:
    place = replace(bench.place, pinning=Pinning(on, bench.place.pinning.driver))
    placed = replace(bench, place=place)
    with placed.start(cell.target, f"threads{len(on)}") as server, Api(server) as api:
        server.wait_ready()
        texts = TextStream(bench.reference.squad.texts, bench.seed(cell.block))
        [row] = offline.run(placed, cell, Session.open(server, api, texts))
    row.codes = " ".join(code for code in row.codes.split() if code != "E_PIN")
    return row
