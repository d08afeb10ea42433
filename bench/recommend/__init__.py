"""`python -m bench recommend`: which shape, how many and what cost, from the lower bounds of what was measured."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console

from bench import machine, paths
from bench.errors import BenchError
from bench.recommend import say
from bench.recommend.answer import answer
from bench.recommend.compose import override
from bench.recommend.needs import Needs
from bench.report.summary import Campaign, load

NOTHING_FITS = 3
SLO_MS = 150.0  # of a campaign that does not say
USUAL_RPS = (100, 500, 2000)


def run(arguments: argparse.Namespace) -> int:
    """Print the answer; 3 when nothing measured fits."""
    folder, chosen = chosen_campaign(arguments.campaign)
    campaign = load(folder)
    found = answer(campaign, _needs(arguments, campaign.manifest))
    name = f"{folder.resolve().parent.name}/{folder.resolve().name}"
    if arguments.json:
        sys.stdout.buffer.write(orjson.dumps(say.as_json(found, name), option=orjson.OPT_INDENT_2) + b"\n")
    else:
        console = Console(width=None if sys.stdout.isatty() else 124, highlight=False)
        console.print(f"From {name}{chosen}.\n")
        say.table(found, console)
        console.print()
        for sentence in say.sentences(found):
            console.print(sentence, markup=False)
        if found.best:
            console.print(f"\n{override(found.best)}", markup=False)
    return 0 if found.best else NOTHING_FITS


def recommendation(campaign: Campaign) -> list[str]:
    """A sentence for each of 100, 500 and 2,000 requests a second at the campaign's own limit, and the flips."""
    said: list[str] = []
    for rps in USUAL_RPS:
        needs = Needs(rps=rps, limits={"p99_ms": _slo_ms(campaign.manifest, "search")})
        try:
            told = say.sentences(answer(campaign, needs))
        except BenchError:
            return []
        said += told[:1] if rps != USUAL_RPS[-1] else told
    return said


def _needs(arguments: argparse.Namespace, manifest: dict[str, Any]) -> Needs:
    limits = {"p95_ms": arguments.p95_ms, "p99_ms": arguments.p99_ms}
    said = {column: limit for column, limit in limits.items() if limit is not None}
    return Needs(
        rps=arguments.rps,
        limits=said or {"p99_ms": _slo_ms(manifest, arguments.route)},
        route=arguments.route,
        headroom=arguments.headroom,
        ram_gib=arguments.ram_gb,
        vcpu=arguments.vcpu,
        price_hour=arguments.price_hour,
        gpu_price_hour=arguments.gpu_price_hour,
    )


def _slo_ms(manifest: dict[str, Any], route: str) -> float:
    return float(manifest.get("slo_ms", {}).get(route, SLO_MS))


def chosen_campaign(asked: Path | None) -> tuple[Path, str]:
    """Return the folder asked for, or the newest with an open loop, and how it was chosen."""
    if asked:
        if not (asked / "manifest.json").exists():
            raise BenchError(f"{asked} is not a campaign: no manifest.json")
        return asked, ""
    mine = _newest([paths.RESULTS / name for name in machine.folders()], "*/manifest.json")
    folder = mine or _newest([paths.RESULTS], "*/*/manifest.json")
    if folder is None:
        raise BenchError("there is no campaign yet: make bench PROFILE=full")
    return folder, ", the newest of this machine" if mine else ", the newest of another machine: this one has none"


def _newest(folders: Sequence[Path], pattern: str) -> Path | None:
    """The newest campaign that has open-loop rows, else the newest of all."""
    found = [(_started(file), file.parent) for folder in folders for file in folder.glob(pattern)]
    ordered = [campaign for _, campaign in sorted(found, reverse=True)]
    return next((campaign for campaign in ordered if _opened(campaign)), next(iter(ordered), None))


def _started(manifest: Path) -> str:
    return str(orjson.loads(manifest.read_bytes())["started_utc"])


def _opened(campaign: Path) -> bool:
    runs = campaign / "runs.csv"
    return runs.exists() and ",server," in runs.read_text()
