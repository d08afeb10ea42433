"""
`python -m bench simulate`: latency at rates and numbers of replicas that nobody measured, and how far off it may be.

Without `--rps` every sound closed and open cell of a campaign that did not calibrate the queue is predicted, and
held against what was measured.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from bench import arrivals
from bench.errors import BenchError
from bench.recommend import chosen_campaign
from bench.report.summary import Campaign, load
from bench.simulate.calibrate import CLIENTS, REQUESTS, calibrate, question_tokens
from bench.simulate.queue import F64, I64, Server, closed_loop, open_loop

WITHIN = 0.25
# Of the capacity: beyond, the queue of a rate that is all but too much depends on how long one looks.
MOST_PERCENT = 85


@dataclass(frozen=True)
class Predicted:
    """The 95 % latency of a cell, as the queue has it and as it was measured, in milliseconds."""

    target: str
    route: str
    cell: str
    p95_ms: float
    measured_ms: float

    @property
    def off(self) -> float:
        """How much more, as a share, was predicted than measured."""
        return self.p95_ms / self.measured_ms - 1


def run(arguments: argparse.Namespace) -> int:
    """Print a prediction, or how good those of a campaign are: 1 where one is off by more than a quarter."""
    folder, chosen = chosen_campaign(arguments.campaign)
    campaign, console = load(folder), Console(highlight=False)
    console.print(f"From {folder.parent.name}/{folder.name}{chosen}.")
    if arguments.rps:
        for line in _foretold(campaign, arguments):
            console.print(line)
        return 0
    found = list(check(campaign))
    if not found:
        raise BenchError(f"{folder}: no target was measured alone, by {CLIENTS} clients and otherwise, beside pseudo")
    console.print(_table(found))
    good = sum(abs(one.off) <= WITHIN for one in found)
    console.print(f"{good} of {len(found)} within {WITHIN:.0%}.")
    return int(good < len(found))


def check(campaign: Campaign) -> Iterator[Predicted]:
    """Yield what the queue of each target, of which there are two figures, says of its other cells."""
    tokens = question_tokens()
    for target in campaign.targets:
        if campaign.manifest["targets"][target].get("peer") or target == "pseudo":
            continue  # theirs are other queues, and the latter has no model to wait for
        for route in ("embeddings", "search"):
            try:
                server = calibrate(campaign, target, route, tokens)
            except BenchError:
                continue
            yield from _closed(campaign, server, target, route)
            yield from _open(campaign, server, target, route)


def _closed(campaign: Campaign, server: Server, target: str, route: str) -> Iterator[Predicted]:
    lines = campaign.lines("closed", route)
    for _, line in lines[lines.index == target].iterrows():
        if line.concurrency not in (1, CLIENTS) and line.p95_ms > 0:
            took_s, _ = closed_loop(server, int(line.concurrency), np.resize(question_tokens(), REQUESTS))
            yield Predicted(target, route, f"{line.concurrency:.0f} clients", _p95_ms(took_s), line.p95_ms)


def _open(campaign: Campaign, server: Server, target: str, route: str) -> Iterator[Predicted]:
    """Let requests come when those of each window did: a few seconds are as much chance as queue."""
    runs = campaign.runs[~campaign.runs.refused]
    windows = runs[(runs.target == target) & (runs.route == route) & (runs.scenario == "server")]
    for _, rows in windows[windows.percent <= MOST_PERCENT].groupby("percent"):
        p95_ms = [_p95_ms(open_loop(server, *_arrived(row))) for row in rows.itertuples()]
        load = f"{rows.offered_rps.median():.0f} a second"
        yield Predicted(target, route, load, float(np.median(p95_ms)), float(rows.p95_ms.median()))


def _foretold(campaign: Campaign, arguments: argparse.Namespace) -> Iterator[str]:
    server = calibrate(campaign, arguments.target, arguments.route, question_tokens())
    each = arguments.rps / arguments.replicas
    tokens = np.resize(question_tokens(), 5 * REQUESTS)
    took_s = open_loop(server, arrivals.poisson(each, len(tokens), 1), tokens)
    most = closed_loop(server, 1_024, tokens)[1]
    percentiles = ", ".join(f"p{p} {1e3 * float(np.percentile(took_s, p)):.1f} ms" for p in (50, 95, 99))
    yield f"{arguments.replicas} of {arguments.target}: {each:.0f} requests a second each, of at most {most:.0f}"
    yield "too many: the queue grows for ever" if each >= most else percentiles


def _arrived(row: Any) -> tuple[F64, I64]:
    """Return when the requests of a window were due, and lengths as theirs, drawn."""
    arrivals_s = arrivals.poisson(row.offered_rps, int(row.requests), (int(row.seed), int(row.percent)))
    return arrivals_s, np.random.default_rng(int(row.seed)).choice(question_tokens(), len(arrivals_s))


def _p95_ms(took_s: F64) -> float:
    return 1e3 * float(np.percentile(took_s, 95))


def _table(found: list[Predicted]) -> Table:
    table = Table("target", "route", "load", "p95 predicted", "measured", "off")
    for one in found:
        style = "" if abs(one.off) <= WITHIN else "red"
        row = (one.target, one.route, one.cell, f"{one.p95_ms:.1f}", f"{one.measured_ms:.1f}", f"{one.off:+.0%}")
        table.add_row(*row, style=style)
    return table
