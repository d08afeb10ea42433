"""
`python -m bench compare`: two campaigns, or two revisions of this repository, cell by cell.

The exit code is that of a gate: 1 only for a regression that the interval confirms, 0 otherwise, 2 for misuse.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from bench import revisions
from bench.campaign import TWIN
from bench.errors import BenchError
from bench.report import cells, summary
from bench.report.cells import OWN_LOAD, Compared, Key
from bench.report.summary import Campaign
from bench.revisions import Asked
from bench.statistics import median
from bench.validity import MACHINE, MAX_DRIFT, refused


@dataclass(frozen=True)
class Line:
    """One figure of one cell on both sides (medians over blocks), and what their ratio B / A says."""

    target: str
    cell: str
    figure: str
    a: float | None
    b: float | None
    compared: Compared


@dataclass(frozen=True)
class Comparison:
    """The lines of a comparison, what must be known to read them, and whether they can confirm a regression."""

    lines: list[Line]
    notes: list[str]
    confirms: bool = True

    @property
    def regressions(self) -> list[Line]:
        """Lines on which B is slower than A by more than noise."""
        return [line for line in self.lines if self.confirms and line.compared.word == "slower"]


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Compare what the command line names and print it; raises BenchError for misuse."""
    found = compare_revisions(arguments) if arguments.revisions else compare_campaigns(arguments)
    show(found, console)
    return 1 if found.regressions else 0


def compare_campaigns(arguments: argparse.Namespace) -> Comparison:
    """Every cell that both campaigns measured, narrowed to the target, route and concurrency named."""
    if len(arguments.campaigns) != 2:
        raise BenchError("compare takes two campaign folders, or --revisions A B")
    if arguments.blocks is not None:
        raise BenchError("--blocks is for --revisions: a campaign has the blocks it was made with")
    a, b = (_load(folder) for folder in arguments.campaigns)
    metric = arguments.metric
    if metric is not None and metric not in summary.MEASURES:
        raise BenchError(f"--metric {metric}: a campaign has no such column; one of {', '.join(summary.MEASURES)}")
    same, note = same_machine(a.manifest, b.manifest)
    wanted = {"target": arguments.target, "route": arguments.route, "concurrency": arguments.concurrency}
    lines = list(_lines(a, b, wanted, metric, paired=same))
    if not lines:
        raise BenchError("the two campaigns have no sound cell in common (of those asked for)")
    return Comparison(lines, [note], confirms=same)


def _load(folder: Path) -> Campaign:
    for name in ("manifest.json", "runs.csv"):
        if not (folder / name).is_file():
            raise BenchError(f"{folder} is no campaign: it has no {name}")
    return summary.load(folder)


def same_machine(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether two manifests are of one machine at one speed, and what follows from that, in words."""
    told = [key for key in ("cpu", "cores", "memory_gib", "kernel") if a["machine"].get(key) != b["machine"].get(key)]
    told += ["gpus"] if _gpus(a) != _gpus(b) else []
    speeds = a.get("calibration_s"), b.get("calibration_s")
    drift = abs(speeds[1] / speeds[0] - 1) if speeds[0] and speeds[1] else None
    if told:
        return False, f"Other machines ({', '.join(told)} differ): not paired, and no regression is confirmed."
    if drift is None:
        return False, "A campaign did not note the machine's speed: not paired, and no regression is confirmed."
    if drift > MAX_DRIFT:
        return False, f"The machine's own speed differs by {drift:.0%}: not paired, and no regression is confirmed."
    return True, "One machine at one speed: paired by block."


def _gpus(manifest: Mapping[str, Any]) -> list[str]:
    """The names of a machine's cards; none in manifests from before these were told."""
    return [card["name"] for card in manifest["machine"].get("gpus") or ()]


def _lines(
    a: Campaign, b: Campaign, wanted: Mapping[str, Any], metric: str | None, *, paired: bool
) -> Iterator[Line]:
    for key, mine in b.cells.items():
        named = dict(zip(cells.KEYS, key, strict=True))
        figure = metric or cells.headline(str(key[1]))
        asked = all(value is None or named[name] == value for name, value in wanted.items())
        if key not in a.cells or key[0].endswith(TWIN) or not asked or not figure or key[1] in OWN_LOAD:
            continue

        def noise(blocks: int, key: Key = key, figure: str = figure) -> float | None:
            """The wider of the two campaigns' A/A bands."""
            bands = [cells.band(side.cells, key, figure, blocks) for side in (a, b)]
            return max((band for band in bands if band is not None), default=None)

        compared = cells.judge(mine, a.cells[key], figure, noise, paired=paired)
        if compared:
            yield Line(
                key[0], cell_name(key), figure, _median(a.cells, key, figure), _median(b.cells, key, figure), compared
            )


def compare_revisions(arguments: argparse.Namespace) -> Comparison:
    """One cell of two revisions, measured now; without a twin, ±5 % is the band that a regression must clear."""
    if arguments.campaigns:
        raise BenchError("compare takes two campaign folders or --revisions A B, not both")
    asked = _asked(arguments)
    runs, (a, b) = revisions.measure(asked)
    note = f"A = {a}, B = {b}, measured in turn, paired by block."
    groups = cells.group(runs)
    first, second = ((name, "closed", asked.route, asked.concurrency, "", "", "") for name in (a, b))
    compared = cells.compare(groups, second, a, asked.metric) if second in groups else None
    if compared is None:
        return Comparison([], [note, _unmeasured(runs)])
    before, after = (_median(groups, key, asked.metric) for key in (first, second))
    return Comparison([Line(asked.target, cell_name(second), asked.metric, before, after, compared)], [note])


def _asked(arguments: argparse.Namespace) -> Asked:
    asked = Asked(
        revisions=tuple(arguments.revisions),
        target=arguments.target or "pseudo",
        route=arguments.route or "search",
        concurrency=8 if arguments.concurrency is None else arguments.concurrency,
        blocks=5 if arguments.blocks is None else arguments.blocks,
        metric=arguments.metric or "cpu_ms_per_req",
    )
    if asked.metric not in revisions.METRICS:
        raise BenchError(f"--metric {asked.metric}: revisions take one of {', '.join(revisions.METRICS)}")
    if asked.concurrency < 1 or asked.blocks < 3:
        raise BenchError("--concurrency starts at 1, and --blocks at 3: fewer have no interval")
    return asked


def _unmeasured(runs: pd.DataFrame) -> str:
    """Why nothing could be compared, where that was the machine's doing; raises BenchError where it was not."""
    codes = {code for joined in runs.codes for code in joined.split() if refused([code])}
    own = sorted(codes - set(MACHINE))
    if own or not codes:
        reasons = "; ".join(dict.fromkeys(reason for reason in runs.reason if reason))
        raise BenchError(
            f"a revision gave no sound window: {' '.join(own) or 'no figure'} ({reasons or 'no reason'})"
        )
    return f"Nothing was compared: this machine voided the windows of every block ({' '.join(sorted(codes))})."


def _median(groups: Mapping[Key, Any], key: Key, figure: str) -> float | None:
    return median([value for block in cells.by_block(groups[key], figure).values() for value in block])


def cell_name(key: Key) -> str:
    """A cell in words, its target left out."""
    named = dict(zip(cells.KEYS, key, strict=True))
    loads = [f"{sign}{named[name]:g}" for name, sign in (("concurrency", "c="), ("batch", "n=")) if named[name] != ""]
    loads += [f"{named['percent']:g} %"] if named["percent"] != "" else []
    return " ".join(part for part in (named["scenario"], named["route"], *loads, named["page_cache"]) if part)


def show(found: Comparison, console: Console) -> None:
    """Print the table, the notes, and in one sentence what the exit code says."""
    table = Table("target", "cell", "figure", "A", "B", "B ÷ A", "95 % interval", "B is")
    for line in found.lines:
        ratio, bounds, word = line.compared
        interval = f"{bounds[0]:.3f} – {bounds[1]:.3f}" if bounds else "fewer than three blocks"
        values = [f"{value:,.4g}" if value is not None else "" for value in (line.a, line.b)]
        table.add_row(line.target, line.cell, line.figure, *values, f"{ratio:.3f}", interval, word)
    if found.lines:
        console.print(table)
    for note in found.notes:
        console.print(note, highlight=False, soft_wrap=True)
    count = len(found.regressions)
    console.print(f"{count} confirmed regression{'s' * (count != 1)}." if count else "No confirmed regression.")
