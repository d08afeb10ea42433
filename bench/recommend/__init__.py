"""`python -m bench recommend`: shape, number of replicas and cost, from the lower bounds of measured capacities."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console

from bench import paths
from bench.analysis.summary import Campaign, load
from bench.errors import BenchError
from bench.machine import facts
from bench.recommend import text
from bench.recommend.choice import answer
from bench.recommend.compose_override import override
from bench.recommend.needs import Needs
from bench.records.refusal_codes import refused
from bench.records.runs_csv import read

NOTHING_FITS = 3
SLO_MS = 150.0  # for manifests without slo_ms
USUAL_RPS = (100, 500, 2000)


def run(arguments: argparse.Namespace) -> int:
    """Print the recommendation. Return the exit code: 3 if no measured shape fits, else 0."""
    folder, origin = choose_campaign(arguments.campaign)
    campaign = load(folder)
    recommended = answer(campaign, _read_needs(arguments, campaign.manifest))
    name = f"{folder.resolve().parent.name}/{folder.resolve().name}"
    if arguments.json:
        sys.stdout.buffer.write(orjson.dumps(text.as_json(recommended, name), option=orjson.OPT_INDENT_2) + b"\n")
    else:
        console = Console(width=None if sys.stdout.isatty() else 124, highlight=False)
        console.print(f"From {name}{origin}.\n")
        text.table(recommended, console)
        console.print()
        for sentence in text.sentences(recommended):
            console.print(sentence, markup=False)
        if recommended.best:
            console.print(f"\n{override(recommended.best)}", markup=False)
    return 0 if recommended.best else NOTHING_FITS


def recommendation(campaign: Campaign) -> list[str]:
    """
    Return a sentence for each of 100, 500 and 2,000 requests a second, within the campaign's own p99 limit.

    After the last rate follow the rates at which another shape becomes the cheapest. Empty without an open loop.
    """
    lines: list[str] = []
    for rps in USUAL_RPS:
        needs = Needs(rps=rps, limits={"p99_ms": _read_slo_ms(campaign.manifest, "search")})
        try:
            sentences = text.sentences(answer(campaign, needs))
        except BenchError:
            return []
        lines += sentences[:1] if rps != USUAL_RPS[-1] else sentences
    return lines


def _read_needs(arguments: argparse.Namespace, manifest: dict[str, Any]) -> Needs:
    options = {"p95_ms": arguments.p95_ms, "p99_ms": arguments.p99_ms}
    limits = {column: limit for column, limit in options.items() if limit is not None}
    return Needs(
        rps=arguments.rps,
        limits=limits or {"p99_ms": _read_slo_ms(manifest, arguments.route)},
        route=arguments.route,
        headroom=arguments.headroom,
        ram_gib=arguments.ram_gb,
        vcpu=arguments.vcpu,
        price_hour=arguments.price_hour,
        gpu_price_hour=arguments.gpu_price_hour,
    )


def _read_slo_ms(manifest: dict[str, Any], route: str) -> float:
    return float(manifest.get("slo_ms", {}).get(route, SLO_MS))


def choose_campaign(folder: Path | None) -> tuple[Path, str]:
    """
    Return a campaign's folder, and a clause that says how it was chosen: "" for the folder that was passed.

    Without a folder it is the one of this machine with the most evidence, else that of any machine. Evidence is the
    number of sound windows at an offered rate; of equal ones it is the newest.
    Raises BenchError if the folder has no manifest, or if there is no campaign.
    """
    if folder:
        if not (folder / "manifest.json").exists():
            raise BenchError(f"{folder} is not a campaign: no manifest.json")
        return folder, ""
    local = find_best([paths.CAMPAIGNS / name for name in facts.folders()], "*/manifest.json")
    folder = local or find_best([paths.CAMPAIGNS], "*/*/manifest.json")
    if folder is None:
        raise BenchError("there is no campaign yet: make bench PROFILE=full")
    machine = "of this machine" if local else "of another machine, because this one has none"
    return folder, f", the campaign with the most evidence {machine}"


def find_best(folders: Sequence[Path], pattern: str) -> Path | None:
    """Return the campaign with the most evidence, of equal ones the newest; None if there is none."""
    campaigns = [file.parent for folder in folders for file in folder.glob(pattern)]
    return max(campaigns, key=lambda campaign: (count_evidence(campaign), _read_start(campaign)), default=None)


def count_evidence(campaign: Path) -> int:
    """Return the levels times blocks of the best-measured route: its different windows at an offered rate."""
    if not (campaign / "runs.csv").exists():
        return 0
    rows = [row for row in read(campaign / "runs.csv") if row["scenario"] in ("slo", "server") and row["offered_rps"]]
    sound = [row for row in rows if not refused(row["codes"].split())]
    levels = {(row["target"], row["route"], row["block"], _read_level(row)) for row in sound}
    return max(Counter((target, route) for target, route, _, _ in levels).values(), default=0)


def _read_level(row: Mapping[str, str]) -> str:
    """Return the share of the maximum that was offered, else the rate."""
    return row.get("load_percent") or row.get("percent") or row["offered_rps"]


def _read_start(campaign: Path) -> str:
    return str(orjson.loads((campaign / "manifest.json").read_bytes())["started_utc"])
