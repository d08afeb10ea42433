"""
How long a campaign takes: windows times their seconds, starts, ingestion and verification.

The constants are medians of campaigns on one server core of an EPYC. Ingestion is faster with the number of cores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

from bench.campaign.runner import Work
from bench.measurement.plan import MIN_REQUESTS, Cell, Options, Profile
from bench.scenarios import cores as core_ladder
from bench.scenarios import slo
from bench.scenarios.rate_search import Bracket, RateSearch, Window

START_S = 4.0  # start and stop of a server
VERIFY_S = 9.0
RUNG_S = 12.0  # a step of the ladder of cores: a start and a window
WINDOW_S = 2.6  # around each window: warm-up, comparison with the reference, two looks at the machine's speed
REPEATED = 1.15  # windows that are measured again
INGEST_TEXTS_PER_S = {"pseudo": 450.0, "int8": 75.0}
FP32_TEXTS_PER_S, PEER_TEXTS_PER_S = 42.0, 17.0
SINGLE_RPS = 110.0  # of one request in flight
TYPICAL = 0.85  # of the closed-loop maximum is held
# Cells whose duration the profile does not set, in seconds.
FIXED_S = {
    "cold": 25.0,
    "cache": 10.0,
    "store": 62.0,
    "offline": 9.0,
    "rerank": 13.0,
    "bare": 6.0,
    "second_opinion": 11.0,
    "quality": 4.0,
    "overload": 16.0,
    "crowd": 18.0,
    "burst": 11.0,
    "mixed": 23.0,
    "lengths": 6.0,
    "replay_empty_index": 4.0,
}


def seconds(todo: Sequence[Work], options: Options, passages: int, cores: int) -> float:
    """Return the seconds of the remaining work over a corpus of `passages`, on `cores` server cores."""
    ingested: set[str] = set()
    total = 0.0
    for work in todo:
        cells = [*work.standalone, *work.verified]
        total += sum(_estimate_cell(cell, options, cores) for cell in cells)
        if work.verified:
            total += START_S + VERIFY_S
            if work.target.ingest and "search" in work.target.capabilities and work.target.name not in ingested:
                total += passages / _ingest_rate(work) / cores
        if work.target.durable:
            ingested.add(work.target.name)
    return total


def render(total_s: float) -> str:
    """Return the estimate in words, with the hour of its end."""
    end = datetime.now().astimezone() + timedelta(seconds=total_s)
    return f"This takes about {max(1, math.ceil(total_s / 60))} minutes, until {end:%H:%M}."


def _ingest_rate(work: Work) -> float:
    slow = PEER_TEXTS_PER_S if work.target.peer else FP32_TEXTS_PER_S
    return INGEST_TEXTS_PER_S.get(work.target.precision, slow)


def _estimate_cell(cell: Cell, options: Options, cores: int) -> float:
    profile = options.profile
    if cell.scenario == core_ladder.NAME:
        return _count_rungs(cell, cores) * RUNG_S
    if cell.scenario == slo.NAME:
        return _count_windows(profile, cell.block) * (profile.slo_seconds + WINDOW_S) * REPEATED
    if cell.scenario in FIXED_S:
        return FIXED_S[cell.scenario]
    window_s = {
        "soak": profile.soak_seconds,
        "mix": profile.slo_seconds / 2,
        "closed": MIN_REQUESTS / SINGLE_RPS if cell.concurrency == 1 else profile.min_seconds,
        "single": MIN_REQUESTS / SINGLE_RPS,
    }.get(cell.scenario, profile.min_seconds)
    return (window_s + WINDOW_S) * REPEATED


def _count_windows(profile: Profile, block: int) -> int:
    """Return the windows of a search for a typical server."""
    earlier = Bracket(TYPICAL, TYPICAL * profile.slo_resolution) if block > 1 else Bracket(None, None)
    search = RateSearch(slo.FLOOR, slo.CEILING, profile.slo_resolution, earlier)
    windows: list[Window] = []
    while (rate := search.next_rate(windows)) is not None:
        windows.append(Window(rate, rate <= TYPICAL))
    return len(windows)


def _count_rungs(cell: Cell, cores: int) -> int:
    """Return the steps of a ladder: up to all cores in bulk, and up to the server's with questions."""
    fewest = core_ladder.arrangements(cell.target)[cell.arrangement]
    return len(core_ladder.counts(cores + 1, fewest)) + len(core_ladder.counts(cores, fewest))
