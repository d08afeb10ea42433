"""
`python -m bench simulate`: predicted latency at rates and numbers of replicas that were not measured.

Without `--rps` it predicts every sound closed and open cell of a campaign, except those that calibrate the queue, and
compares the predictions with the measurements.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.analysis.summary import Campaign, load
from bench.driver import arrivals
from bench.errors import BenchError
from bench.recommend import choose_campaign
from bench.simulate.queue import F64, I64, Server, closed_loop, open_loop
from bench.simulate.service_times import CLIENTS, REQUESTS, calibrate, question_tokens

WITHIN = 0.25
# Percent of the capacity. Near saturation the queue length depends on the length of the window.
MOST_PERCENT = 85


@dataclass(frozen=True)
class Prediction:
    """The p95 latency of a cell in milliseconds, as predicted and as measured."""

    target: str
    route: str
    cell: str
    p95_ms: float
    measured_ms: float

    @property
    def error(self) -> float:
        """Relative error of the prediction; positive if it is too high."""
        return self.p95_ms / self.measured_ms - 1


def run(arguments: argparse.Namespace) -> int:
    """Print a prediction, or those of a campaign; return 1 if an error is above 25 %, else 0."""
    folder, origin = choose_campaign(arguments.campaign)
    campaign, console = load(folder), Console(highlight=False)
    console.print(f"From {folder.parent.name}/{folder.name}{origin}.")
    if arguments.rps:
        for line in _predict_rate(campaign, arguments):
            console.print(line)
        return 0
    predictions = list(check(campaign))
    if not predictions:
        raise BenchError(f"{folder}: no target was measured alone, by {CLIENTS} clients and otherwise, beside pseudo")
    console.print(_draw_table(predictions))
    accurate = sum(abs(prediction.error) <= WITHIN for prediction in predictions)
    console.print(f"{accurate} of {len(predictions)} within {WITHIN:.0%}.")
    return int(accurate < len(predictions))


def check(campaign: Campaign) -> Iterator[Prediction]:
    """Yield a prediction for each cell that did not calibrate the queue of its target; peers are left out."""
    tokens = question_tokens()
    for target in campaign.targets:
        if campaign.manifest["targets"][target].get("peer") or target == "pseudo":
            continue  # peers have other queues, and pseudo has no model
        for route in ("embeddings", "search"):
            try:
                server = calibrate(campaign, target, route, tokens)
            except BenchError:
                continue
            yield from _predict_closed(campaign, server, target, route)
            yield from _predict_open(campaign, server, target, route)


def _predict_closed(campaign: Campaign, server: Server, target: str, route: str) -> Iterator[Prediction]:
    lines = campaign.lines("closed", route)
    for _, line in lines[lines.index == target].iterrows():
        if line.concurrency not in (1, CLIENTS) and line.p95_ms > 0:
            took_s, _ = closed_loop(server, int(line.concurrency), np.resize(question_tokens(), REQUESTS))
            yield Prediction(target, route, f"{line.concurrency:.0f} clients", _compute_p95_ms(took_s), line.p95_ms)


def _predict_open(campaign: Campaign, server: Server, target: str, route: str) -> Iterator[Prediction]:
    """Yield predictions at the arrival times of each window, because a few seconds of a random process vary."""
    runs = campaign.runs[~campaign.runs.refused]
    windows = runs[(runs.target == target) & (runs.route == route) & (runs.scenario == "server")]
    for _, rows in windows[windows.load_percent <= MOST_PERCENT].groupby("load_percent"):
        p95_ms = [_compute_p95_ms(open_loop(server, *_draw_requests(row))) for row in rows.itertuples()]
        load = f"{rows.offered_rps.median():.0f} a second"
        yield Prediction(target, route, load, float(np.median(p95_ms)), float(rows.p95_ms.median()))


def _predict_rate(campaign: Campaign, arguments: argparse.Namespace) -> Iterator[str]:
    server = calibrate(campaign, arguments.target, arguments.route, question_tokens())
    replica_rps = arguments.rps / arguments.replicas
    tokens = np.resize(question_tokens(), 5 * REQUESTS)
    took_s = open_loop(server, arrivals.poisson(replica_rps, len(tokens), 1), tokens)
    max_rps = closed_loop(server, 1_024, tokens)[1]
    percentiles = ", ".join(f"p{p} {1e3 * float(np.percentile(took_s, p)):.1f} ms" for p in (50, 95, 99))
    yield (
        f"{arguments.replicas} of {arguments.target}: "
        f"{replica_rps:.0f} requests a second each, of at most {max_rps:.0f}"
    )
    yield "too many: the queue grows for ever" if replica_rps >= max_rps else percentiles


def _draw_requests(row: Any) -> tuple[F64, I64]:
    """Return the scheduled times of a window's requests in seconds, (n,), and random lengths in tokens, (n,)."""
    arrivals_s = arrivals.poisson(row.offered_rps, int(row.requests), (int(row.seed), int(row.load_percent)))
    return arrivals_s, np.random.default_rng(int(row.seed)).choice(question_tokens(), len(arrivals_s))


def _compute_p95_ms(took_s: F64) -> float:
    return 1e3 * float(np.percentile(took_s, 95))


def _draw_table(predictions: list[Prediction]) -> Table:
    table = Table("target", "route", "load", "p95 predicted", "measured", "off")
    for prediction in predictions:
        style = "" if abs(prediction.error) <= WITHIN else "red"
        predicted, measured = f"{prediction.p95_ms:.1f}", f"{prediction.measured_ms:.1f}"
        row = (prediction.target, prediction.route, prediction.cell, predicted, measured, f"{prediction.error:+.0%}")
        table.add_row(*row, style=style)
    return table
