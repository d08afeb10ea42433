"""One target started and one window timed, as scenarios do it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from bench import campaign, measure, targets
from bench.api import Api
from bench.campaign import Work
from bench.datasets.stream import TextStream
from bench.driver.load import F64
from bench.measure import Measured
from bench.plan import Cell
from bench.records import read
from bench.scenarios import closed
from bench.session import Bench, Live
from bench.targets import Target


def target_of(name: str, *capabilities: str) -> Target:
    """One of our targets with these capabilities alone: without search nothing need be ingested."""
    [target] = targets.choose([name], with_peers=False)
    return replace(target, capabilities=capabilities or ("embeddings",))


@contextmanager
def started(bench: Bench, target: Target) -> Iterator[Live]:
    """The target, ready and not verified: what a fault does to a window is the question."""
    with bench.start(target, "window") as running, Api(running) as api:
        running.wait_ready()
        yield Live.of(running, api, TextStream(bench.reference.squad.texts, bench.seed(1)))


def closed_window(
    bench: Bench, live: Live, requests: int = 200, concurrency: int = 4, route: str = "embeddings"
) -> Measured:
    """A closed loop that ends with its last call."""
    cell = Cell(1, live.running.target, "closed", route, concurrency)
    texts = live.texts.take(requests + 2 * concurrency)
    warm, timed = texts[requests:], texts[:requests]
    load = live.load(
        bench.options, live.calls(cell.route, warm), live.calls(cell.route, timed), concurrency=concurrency,
        min_requests=requests,
    )  # fmt: skip
    return measure.window(bench, cell, live, load, timed)


def open_window(bench: Bench, live: Live, rps: float, seconds: float, connections: int = 64) -> Measured:
    """An open loop at half of what the target is said to take, its requests evenly spaced."""
    cell = Cell(1, live.running.target, "server", "embeddings", percent=50)
    schedule_s: F64 = np.arange(1, int(rps * seconds) + 1) / rps
    warm, timed = live.texts.take(2 * connections), live.texts.take(len(schedule_s))
    load = live.load(
        bench.options, live.calls(cell.route, warm), live.calls(cell.route, timed), concurrency=connections,
        schedule_s=schedule_s,
    )  # fmt: skip
    return measure.window(bench, cell, live, load, timed)


def codes_of(measured: Measured) -> set[str]:
    """What a window earned."""
    return set(measured.row.codes.split())


def campaign_rows(bench: Bench, target: Target) -> list[dict[str, str]]:
    """What a campaign of this one target writes to runs.csv."""
    timed = closed.cells(target, bench.options, 1)
    campaign.run(bench, bench.runs, [Work(1, target, [], timed)])
    return read(bench.runs.file)
