"""Cores: texts a second when documents are embedded in bulk by one core, and by all of them."""

from __future__ import annotations

from dataclasses import replace

from bench.api import Api
from bench.cores import Pinning
from bench.datasets.stream import TextStream
from bench.plan import Cell, Options
from bench.records import Row
from bench.scenarios import offline
from bench.session import Bench, Live
from bench.targets import Target

HEADLINE = "Texts a second by the cores that serve, a model thread on each"
VERIFIED = False
BATCH = 64


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """One cell, of two rows, of targets of ours that run a model."""
    ours = target.ranked and target.roles and not target.peer and "embeddings" in target.capabilities
    return [Cell(block, target, "threads", "embeddings", 1, BATCH)] if ours else []


def run(bench: Bench, cell: Cell, live: Live | None) -> list[Row]:
    """
    One window of the offline load on a server of one core, and one on a server of all of them.

    There the driver is on one of its cores: it waits while the server works.
    """
    pinning = bench.place.pinning
    everywhere = sorted({*pinning.server, *pinning.driver})
    counts = dict.fromkeys((1, len(everywhere)))
    return [_window(bench, replace(cell, concurrency=count), tuple(everywhere[-count:])) for count in counts]


def _window(bench: Bench, cell: Cell, on: tuple[int, ...]) -> Row:
    place = replace(bench.place, pinning=Pinning(on, bench.place.pinning.driver))
    placed = replace(bench, place=place)
    with placed.start(cell.target, f"threads{len(on)}") as running, Api(running) as api:
        running.wait_ready()
        texts = TextStream(bench.reference.squad.texts, bench.seed(cell.block))
        [row] = offline.run(placed, cell, Live.of(running, api, texts))
    row.codes = " ".join(code for code in row.codes.split() if code != "E_PIN")
    return row
