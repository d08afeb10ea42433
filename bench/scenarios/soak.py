"""A closed loop for long, over texts of very different lengths: what memory does in the meantime."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np

from bench import measure, offer
from bench.datasets.stream import TextStream
from bench.plan import BODIES_PER_SECOND, Cell, Options
from bench.records import Row
from bench.session import Bench, Live
from bench.targets import Target

HEADLINE = "MiB a minute that memory grows by under a steady load of short and long texts"
VERIFIED = True
CONCURRENCY = 8
SPARE = 1.5  # calls, of what the closed maximum says; long texts are slower than its questions
KEPT = 1200  # answers, of which the usual number is checked


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """One cell."""
    route = offer.route_of(target)
    return [] if route is None else [Cell(block, target, "soak", route, CONCURRENCY)]


def run(bench: Bench, cell: Cell, live: Live | None) -> list[Row]:
    """One window of the profile's `soak_seconds`; no slope for a target whose processes are not ours."""
    live, profile = offer.verified(cell, live), bench.options.profile
    seconds = profile.soak_seconds
    most_rps = bench.runs.capacity(cell.target.name, cell.route) or BODIES_PER_SECOND
    texts = long_and_short(bench, cell, live, int(SPARE * most_rps * seconds))
    load = live.load(
        bench.options,
        live.calls(cell.route, live.texts.take(4 * CONCURRENCY)),
        live.calls(cell.route, texts),
        concurrency=CONCURRENCY,
        min_seconds=seconds,
        max_seconds=seconds,
        keep_every=max(1, len(texts) // KEPT),
        warmup_seconds=0.0,
    )
    measured = measure.window(bench, cell, live, load, texts)
    measured.row.rss_mib_per_min = slope_per_min(measured.seen.usage.rss, measured.seen.outcome.wall_s)
    return [measured.row]


def long_and_short(bench: Bench, cell: Cell, live: Live, count: int) -> list[str]:
    """Questions and splices of passages, about ten and a hundred words, in random order; no text comes twice."""
    passages = list(bench.reference.squad.passages.values())
    spliced = TextStream(passages, bench.seed(cell.block), held_out=passages)  # they were embedded when ingested
    texts = [*live.texts.take(count - count // 2), *spliced.take(count // 2)]
    random.Random(bench.seed(cell.block)).shuffle(texts)  # noqa: S311  (reproducible, not secret)
    return texts


def slope_per_min(rss: Mapping[str, Sequence[float]], wall_s: float) -> float | None:
    """
    Growth a minute of evenly spaced samples over `wall_s` seconds, summed over the roles; least squares.

    The first third is left out: caches and allocators fill then. None with fewer than three samples after it.
    """
    slopes: list[float] = []
    for samples in rss.values():
        late = np.asarray(samples[len(samples) // 3 :])
        if len(late) < 3:
            return None
        minutes = np.arange(len(late)) * wall_s / (len(samples) - 1) / 60
        slopes.append(float(np.polyfit(minutes, late, 1)[0]))
    return sum(slopes) if slopes else None
