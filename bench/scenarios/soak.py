"""Soak: memory growth in a long closed loop over texts of very different lengths."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np

from bench.datasets.unseen_texts import TextStream
from bench.measurement import window
from bench.measurement.plan import BODIES_PER_SECOND, Cell, Options
from bench.measurement.session import Bench, Session
from bench.records.runs_csv import Row
from bench.scenarios import open_load
from bench.targets import Target

HEADLINE = "Memory growth in MiB per minute under a steady load of short and long texts"
CONCURRENCY = 8
SPARE = 1.5  # prepared calls, relative to the closed-loop maximum
KEPT = 1200  # answers kept, a sample of which is compared with the reference


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """Return one cell; [] if the target has no open-loop route."""
    route = open_load.choose_route(target)
    return [] if route is None else [Cell(block, target, "soak", route, CONCURRENCY)]


def run(bench: Bench, cell: Cell, session: Session) -> list[Row]:
    """Measure one window of the profile's `soak_seconds`. An external target has no memory slope."""
    seconds = bench.options.profile.soak_seconds
    max_rps = bench.runs.capacity(cell.target.name, cell.route) or BODIES_PER_SECOND
    texts = take_texts(bench, cell, session, int(SPARE * max_rps * seconds))
    load = session.load(
        bench.options,
        session.calls(cell.route, session.texts.take(4 * CONCURRENCY)),
        session.calls(cell.route, texts),
        concurrency=CONCURRENCY,
        min_seconds=seconds,
        max_seconds=seconds,
        keep_every=max(1, len(texts) // KEPT),
        warmup_seconds=0.0,
    )
    measurement = window.measure(bench, cell, session, load, texts)
    measurement.row.rss_mib_per_min = slope_per_min(
        measurement.observation.usage.rss, measurement.observation.outcome.wall_s
    )
    return [measurement.row]


def take_texts(bench: Bench, cell: Cell, session: Session, count: int) -> list[str]:
    """Return distinct questions and splices of passages, about 10 and 100 words long, in random order."""
    passages = list(bench.reference.squad.passages.values())
    splices = TextStream(passages, bench.seed(cell.block), held_out=passages)  # ingestion embedded the passages
    texts = [*session.texts.take(count - count // 2), *splices.take(count // 2)]
    random.Random(bench.seed(cell.block)).shuffle(texts)  # noqa: S311  (reproducible, not secret)
    return texts


def slope_per_min(rss: Mapping[str, Sequence[float]], wall_s: float) -> float | None:
    """
    Return the growth in MiB per minute, summed over the roles, by least squares over evenly spaced samples.

    The first third is left out, because caches and allocators fill in it. None with fewer than three later samples.
    """
    slopes: list[float] = []
    for samples in rss.values():
        late = np.asarray(samples[len(samples) // 3 :])
        if len(late) < 3:
            return None
        minutes = np.arange(len(late)) * wall_s / (len(samples) - 1) / 60
        slopes.append(float(np.polyfit(minutes, late, 1)[0]))
    return sum(slopes) if slopes else None
