"""One started target and one timed window, as scenarios run them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from bench import targets
from bench.campaign import runner
from bench.campaign.runner import Work
from bench.datasets.unseen_texts import TextStream
from bench.driver.load import F64
from bench.measurement import window
from bench.measurement.plan import Cell
from bench.measurement.session import Bench, Session
from bench.measurement.window import Measurement
from bench.records.runs_csv import read
from bench.scenarios import closed
from bench.targets import Target
from bench.targets.api_client import Api


def target_of(name: str, *capabilities: str) -> Target:
    """Return one of our targets with these capabilities only; without search, no documents are ingested."""
    [target] = targets.choose([name], with_peers=False)
    return replace(target, capabilities=capabilities or ("embeddings",))


@contextmanager
def started(bench: Bench, target: Target) -> Iterator[Session]:
    """Yield the session of a ready target that was not verified."""
    with bench.start(target, "window") as running, Api(running) as api:
        running.wait_ready()
        yield Session.open(running, api, TextStream(bench.reference.squad.texts, bench.seed(1)))


def closed_window(
    bench: Bench, session: Session, requests: int = 200, concurrency: int = 4, route: str = "embeddings"
) -> Measurement:
    """Measure a closed loop that ends with its last call."""
    cell = Cell(1, session.server.target, "closed", route, concurrency)
    texts = session.texts.take(requests + 2 * concurrency)
    warm, timed = texts[requests:], texts[:requests]
    load = session.load(
        bench.options, session.calls(cell.route, warm), session.calls(cell.route, timed), concurrency=concurrency,
        min_requests=requests,
    )  # fmt: skip
    return window.measure(bench, cell, session, load, timed)


def open_window(bench: Bench, session: Session, rps: float, seconds: float, connections: int = 64) -> Measurement:
    """Measure an open loop with evenly spaced requests, declared as half of the target's capacity."""
    cell = Cell(1, session.server.target, "server", "embeddings", percent=50)
    schedule_s: F64 = np.arange(1, int(rps * seconds) + 1) / rps
    warm, timed = session.texts.take(2 * connections), session.texts.take(len(schedule_s))
    load = session.load(
        bench.options, session.calls(cell.route, warm), session.calls(cell.route, timed), concurrency=connections,
        schedule_s=schedule_s,
    )  # fmt: skip
    return window.measure(bench, cell, session, load, timed)


def codes_of(measured: Measurement) -> set[str]:
    """Return the codes of a window."""
    return set(measured.row.codes.split())


def campaign_rows(bench: Bench, target: Target) -> list[dict[str, str]]:
    """Run a campaign of one target; return the rows of runs.csv."""
    timed = closed.cells(target, bench.options, 1)
    runner.run(bench, bench.runs, [Work(1, target, [], timed)])
    return read(bench.runs.file)
