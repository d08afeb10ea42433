"""`python -m bench recommend`: shape, number of replicas and cost, from the lower bounds of measured capacities."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
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

    Without a folder it is the newest campaign of this machine with open-loop rows, else the newest of any machine.
    Raises BenchError if the folder has no manifest, or if there is no campaign.
    """
    if folder:
        if not (folder / "manifest.json").exists():
            raise BenchError(f"{folder} is not a campaign: no manifest.json")
        return folder, ""
    local = _find_newest([paths.CAMPAIGNS / name for name in facts.folders()], "*/manifest.json")
    folder = local or _find_newest([paths.CAMPAIGNS], "*/*/manifest.json")
    if folder is None:
        raise BenchError("there is no campaign yet: make bench PROFILE=full")
    return folder, ", the newest of this machine" if local else ", the newest of another machine: this one has none"


def _find_newest(folders: Sequence[Path], pattern: str) -> Path | None:
    """Return the newest campaign that has open-loop rows, else the newest of all; None if there is none."""
    dated = [(_read_start(file), file.parent) for folder in folders for file in folder.glob(pattern)]
    campaigns = [campaign for _, campaign in sorted(dated, reverse=True)]
    return next((campaign for campaign in campaigns if _has_open_loop(campaign)), next(iter(campaigns), None))


def _read_start(manifest: Path) -> str:
    return str(orjson.loads(manifest.read_bytes())["started_utc"])


def _has_open_loop(campaign: Path) -> bool:
    runs = campaign / "runs.csv"
    return runs.exists() and ",server," in runs.read_text()
