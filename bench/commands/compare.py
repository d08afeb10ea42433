"""
`python -m bench compare`: compare two campaigns, or two revisions of this repository, cell by cell.

CI can use the exit code: 1 for a regression that the confidence interval confirms, 2 if nothing was compared, else 0.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from bench.analysis import cells, summary
from bench.analysis.cells import OWN_LOAD, Compared, Key
from bench.analysis.summary import Campaign
from bench.commands import compare_revisions
from bench.commands.compare_revisions import RevisionComparison
from bench.commands.progress import console
from bench.errors import BenchError
from bench.records.refusal_codes import MACHINE, MAX_DRIFT, refused
from bench.records.runs_csv import TWIN
from bench.statistics import median


@dataclass(frozen=True)
class Line:
    """One figure of one cell on both sides (medians over blocks), and the verdict on the ratio B / A."""

    target: str
    cell: str
    figure: str
    a: float | None
    b: float | None
    compared: Compared


@dataclass(frozen=True)
class Comparison:
    """The lines of a comparison, notes on reading them, and whether they can confirm a regression."""

    lines: list[Line]
    notes: list[str]
    confirms: bool = True

    @property
    def regressions(self) -> list[Line]:
        """The lines on which B is slower than A by more than noise."""
        return [line for line in self.lines if self.confirms and line.compared.word == "slower"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("campaigns", type=Path, nargs="*", metavar="campaign", help="two campaign folders, A and B")
    parser.add_argument("--revisions", nargs=2, metavar=("A", "B"), help="two git revisions to measure here, in turn")
    parser.add_argument("--target", help="compare this target only; default: all, or pseudo with --revisions")
    parser.add_argument(
        "--route",
        help="compare this route only; default: all. With --revisions: search (default), embeddings or ingest",
    )
    parser.add_argument(
        "--concurrency", type=int, help="compare this level only; default: all, or 8 with --revisions"
    )
    parser.add_argument("--blocks", type=int, help="with --revisions: number of blocks; default: 5")
    parser.add_argument(
        "--metric",
        help="a column of runs.csv; default: each scenario's headline. With --revisions: cpu_ms_per_req (default), "
        "instructions, rps or p99_ms",
    )


def run(arguments: argparse.Namespace) -> int:
    """Compare and print. Return 1 for a confirmed regression, 2 if the comparison failed to run, else 0."""
    try:
        comparison = _compare_revisions(arguments) if arguments.revisions else compare_campaigns(arguments)
    except BenchError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    show(comparison, console)
    return 1 if comparison.regressions else 0


def compare_campaigns(arguments: argparse.Namespace) -> Comparison:
    """Compare every cell that both campaigns measured, of the target, route and concurrency in `arguments`."""
    if len(arguments.campaigns) != 2:
        raise BenchError("compare takes two campaign folders, or --revisions A B")
    if arguments.blocks is not None:
        raise BenchError("--blocks is for --revisions only; a campaign's blocks are already measured")
    a, b = (_load(folder) for folder in arguments.campaigns)
    metric = arguments.metric
    if metric is not None and metric not in summary.MEASURES:
        raise BenchError(f"--metric {metric}: a campaign has no such column; one of {', '.join(summary.MEASURES)}")
    same, note = same_machine(a.manifest, b.manifest)
    filters = {"target": arguments.target, "route": arguments.route, "concurrency": arguments.concurrency}
    lines = list(_compare_cells(a, b, filters, metric, paired=same))
    if not lines:
        raise BenchError("the two campaigns have no sound cell in common (with these options)")
    return Comparison(lines, [note], confirms=same)


def _load(folder: Path) -> Campaign:
    for name in ("manifest.json", "runs.csv"):
        if not (folder / name).is_file():
            raise BenchError(f"{folder} is no campaign, because it has no {name}")
    return summary.load(folder)


def same_machine(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[bool, str]:
    """Return whether two manifests are of one machine at one speed, and a note on the consequence."""
    different = [
        key for key in ("cpu", "cores", "memory_gib", "kernel") if a["machine"].get(key) != b["machine"].get(key)
    ]
    different += ["gpus"] if _list_gpus(a) != _list_gpus(b) else []
    speeds = a.get("calibration_s"), b.get("calibration_s")
    drift = abs(speeds[1] / speeds[0] - 1) if speeds[0] and speeds[1] else None
    if different:
        return False, f"Different machines ({', '.join(different)}): not paired, and no regression is confirmed."
    if drift is None:
        return False, "A manifest lacks the machine's speed: not paired, and no regression is confirmed."
    if drift > MAX_DRIFT:
        return False, f"The machine's speed differs by {drift:.0%}: not paired, and no regression is confirmed."
    return True, "Same machine at the same speed: paired by block."


def _list_gpus(manifest: Mapping[str, Any]) -> list[str]:
    """Return the names of a machine's GPUs; [] for old manifests, which lack them."""
    return [card["name"] for card in manifest["machine"].get("gpus") or ()]


def _compare_cells(
    a: Campaign, b: Campaign, filters: Mapping[str, Any], metric: str | None, *, paired: bool
) -> Iterator[Line]:
    """Yield a line per cell of both campaigns that passes the filters and has an offered load that is comparable."""
    for key, rows in b.cells.items():
        fields = dict(zip(cells.KEYS, key, strict=True))
        figure = metric or cells.headline(str(key[1]))
        selected = all(value is None or fields[name] == value for name, value in filters.items())
        if key not in a.cells or key[0].endswith(TWIN) or not selected or not figure or key[1] in OWN_LOAD:
            continue

        def noise(blocks: int, key: Key = key, figure: str = figure) -> float | None:
            """Return the wider A/A band of the two campaigns."""
            bands = [cells.band(side.cells, key, figure, blocks) for side in (a, b)]
            return max((band for band in bands if band is not None), default=None)

        compared = cells.judge(rows, a.cells[key], figure, noise, paired=paired)
        if compared:
            yield Line(
                key[0], cell_name(key), figure, _median(a.cells, key, figure), _median(b.cells, key, figure), compared
            )


def _compare_revisions(arguments: argparse.Namespace) -> Comparison:
    """Measure one cell of two revisions and compare it. Without a twin, the noise band is ±5 %."""
    if arguments.campaigns:
        raise BenchError("compare takes two campaign folders or --revisions A B, not both")
    plan = _read_plan(arguments)
    runs, (a, b) = compare_revisions.measure(plan)
    note = f"A = {a}, B = {b}, measured in turn, paired by block."
    groups = cells.group(runs)
    loads = {"concurrency": plan.concurrency} | ({"batch": plan.batch} if plan.batch else {})
    first, second = (cells.key(name, plan.scenario, plan.route, **loads) for name in (a, b))
    compared = cells.compare(groups, second, a, plan.metric) if second in groups else None
    if compared is None:
        return Comparison([], [note, _explain_missing(runs)])
    before, after = (_median(groups, key, plan.metric) for key in (first, second))
    return Comparison([Line(plan.target, cell_name(second), plan.metric, before, after, compared)], [note])


def _read_plan(arguments: argparse.Namespace) -> RevisionComparison:
    """Return the options of `--revisions`. Raises BenchError for a value out of range."""
    plan = RevisionComparison(
        revisions=tuple(arguments.revisions),
        target=arguments.target or "pseudo",
        route=arguments.route or "search",
        concurrency=8 if arguments.concurrency is None else arguments.concurrency,
        blocks=5 if arguments.blocks is None else arguments.blocks,
        metric=arguments.metric or "cpu_ms_per_req",
    )
    if plan.metric not in compare_revisions.METRICS:
        raise BenchError(f"--metric {plan.metric}: revisions take one of {', '.join(compare_revisions.METRICS)}")
    if plan.metric == "instructions" and plan.route == "ingest":
        raise BenchError("--metric instructions: perf stops with the last answer, and an ingest goes on after it")
    if plan.concurrency < 1 or plan.blocks < 3:
        raise BenchError("--concurrency must be at least 1 and --blocks at least 3, which an interval needs")
    return plan


def _explain_missing(runs: pd.DataFrame) -> str:
    """Return a sentence if the machine voided all windows. Raises BenchError if a revision is to blame."""
    codes = {code for joined in runs.codes for code in joined.split() if refused([code])}
    own = sorted(codes - set(MACHINE))
    if own or not codes:
        reasons = "; ".join(dict.fromkeys(reason for reason in runs.reason if reason))
        raise BenchError(
            f"a revision gave no sound window: {' '.join(own) or 'no figure'} ({reasons or 'no reason'})"
        )
    return f"Nothing was compared. This machine voided the windows of every block ({' '.join(sorted(codes))})."


def _median(groups: Mapping[Key, Any], key: Key, figure: str) -> float | None:
    return median([value for block in cells.by_block(groups[key], figure).values() for value in block])


def cell_name(key: Key) -> str:
    """Return a cell's scenario, route and load as text, without its target."""
    fields = dict(zip(cells.KEYS, key, strict=True))
    signs = (("concurrency", "c="), ("cores", "cores="), ("batch", "n="), ("text_tokens", "tokens="))
    loads = [f"{sign}{fields[name]:g}" for name, sign in signs if fields[name] != ""]
    loads += [f"{fields[name]:g} %" for name in cells.LOADS if name.endswith("_percent") and fields[name] != ""]
    return " ".join(
        part
        for part in (fields["scenario"], fields["arrangement"], fields["route"], *loads, fields["page_cache"])
        if part
    )


def show(comparison: Comparison, console: Console) -> None:
    """Print the table, the notes, and a sentence with the result."""
    table = Table("target", "cell", "figure", "A", "B", "B ÷ A", "95 % interval", "B is")
    for line in comparison.lines:
        ratio, bounds, word = line.compared
        interval = f"{bounds[0]:.3f} – {bounds[1]:.3f}" if bounds else "fewer than three blocks"
        values = [f"{value:,.4g}" if value is not None else "" for value in (line.a, line.b)]
        table.add_row(line.target, line.cell, line.figure, *values, f"{ratio:.3f}", interval, word)
    if comparison.lines:
        console.print(table)
    for note in comparison.notes:
        console.print(note, highlight=False, soft_wrap=True)
    count = len(comparison.regressions)
    console.print(f"{count} confirmed regression{'s' * (count != 1)}." if count else "No confirmed regression.")
