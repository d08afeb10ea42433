"""What a campaign is asked for: the command line turned into options, targets, a place and a folder."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from bench import campaign, command, cores, devices, machine, paths, records, scenarios, targets
from bench.errors import BenchError
from bench.plan import PROFILES, Options
from bench.processes import Place
from bench.records import Key
from bench.scenarios import second_opinion
from bench.targets import Target, foreign
from bench.validity import refused


@dataclass(frozen=True)
class Asked:
    """The command line, turned into what the campaign needs."""

    options: Options
    targets: list[Target]
    place: Place
    folder: Path
    command: str
    corpus: str

    @property
    def runs(self) -> Path:
        """Where its rows are, or will be."""
        return self.folder / "runs.csv"

    def todo(self) -> list[campaign.Work]:
        """What is still to do."""
        return list(campaign.works(self.targets, self.options, self._done()))

    def _done(self) -> set[Key]:
        """The cells that have a row; a second opinion counts only when it is of the client that is asked for."""
        rows = records.read(self.runs) if self.runs.exists() else []
        client = second_opinion.client_of(self.options)
        return {
            records.key_of(row) for row in rows if row["scenario"] != second_opinion.NAME or row["client"] == client
        }

    def finished(self) -> bool:
        """Whether nothing is left but cells of targets that did not verify or did not start."""
        rows = records.read(self.runs) if self.runs.exists() else []
        void = {(row["block"], row["target"]) for row in rows if _void(row)}
        return all((str(work.block), work.target.name) in void for work in self.todo())


def _void(row: dict[str, str]) -> bool:
    return row["scenario"] == "verify" and refused(row["codes"].split())


def ask(arguments: argparse.Namespace) -> Asked:
    """Read the command line; raises BenchError that says which word is wrong, and what would be right."""
    if arguments.resume:
        return _resumed(arguments)
    name = arguments.campaign or f"{datetime.now(UTC):%Y-%m-%dT%H%M}-{arguments.profile}"
    return _asked(arguments, _results(arguments) / machine.folder(devices.parse(arguments.device)) / name)


def _results(arguments: argparse.Namespace) -> Path:
    return Path(arguments.results or paths.RESULTS)


def _resumed(arguments: argparse.Namespace) -> Asked:
    """The newest campaign of this machine and profile with cells to do, as its own command asked for it."""
    for folder, manifest in _campaigns([_results(arguments) / name for name in machine.folders()]):
        if manifest["profile"]["name"] == arguments.profile and _appendable(folder / "runs.csv"):
            asked = _asked(command.read_back(manifest["command"]), folder)
            if not asked.finished():
                return asked
    raise BenchError(
        f"nothing to resume: this machine has no unfinished {arguments.profile} campaign; without --resume one begins"
    )


def _campaigns(folders: Sequence[Path]) -> list[tuple[Path, dict[str, Any]]]:
    """Every campaign of a machine's folders with its manifest, newest first."""
    files = [file for folder in folders for file in folder.glob("*/manifest.json")]
    found = [(file.parent, orjson.loads(file.read_bytes())) for file in files]
    return sorted(found, key=lambda each: str(each[1]["started_utc"]), reverse=True)


def _appendable(runs: Path) -> bool:
    """Whether there are no rows yet, or they have the columns that rows have now."""
    return not runs.exists() or runs.read_text().partition("\n")[0].split(",") == records.COLUMNS


def _asked(arguments: argparse.Namespace, folder: Path) -> Asked:
    if not _appendable(folder / "runs.csv"):
        raise BenchError(f"{folder.name} has the columns of another version of the harness; begin a new campaign")
    options = read_options(arguments)
    chosen = devices.enter(_targets(arguments), devices.parse(options.device))
    campaign.check_installed(chosen)
    place = Place(
        pinning=cores.split(
            cores.available(), cores.parse(arguments.server_cores) if arguments.server_cores else None
        ),
        work=paths.CACHE / "bench" / folder.name / "data",
        logs=paths.CACHE / "bench" / folder.name / "logs",
    )
    return Asked(
        options=options,
        targets=campaign.lineup(chosen, options.profile.twin),
        place=place,
        folder=folder,
        command=command.command_of(arguments),
        corpus=arguments.corpus,
    )


def _targets(arguments: argparse.Namespace) -> list[Target]:
    """Those named, or all of ours; with --target the one at that URL, beside those that are named."""
    names = arguments.gateways.split(",") if arguments.gateways else None
    if not arguments.target:
        return targets.choose(names, arguments.peers)
    others = foreign.probe(
        foreign.describe(
            arguments.target,
            arguments.dialect,
            name=arguments.name or "",
            model=arguments.model or "",
            other_model=arguments.other_model or "",
            precision=arguments.precision,
            key=arguments.api_key or "",
        )
    )
    beside = targets.choose(names or [], arguments.peers)
    if others.name in [target.name for target in beside]:
        raise BenchError(f"--name {others.name} is another target of this campaign; choose another name")
    return [*beside, others]


def read_options(arguments: argparse.Namespace) -> Options:
    """The options of a campaign."""
    profile = PROFILES[arguments.profile]
    if arguments.blocks:
        profile = profile.of_blocks(arguments.blocks)
    profile = replace(profile, twin=arguments.twin or profile.twin)
    wanted = tuple(arguments.scenarios.split(",")) if arguments.scenarios else tuple(profile.scenarios)
    for name in wanted:
        scenarios.load(name)
    encrypted = (arguments.target or "").startswith("https:")
    options = Options(
        profile=profile,
        concurrency=_concurrency(arguments.concurrency) if arguments.concurrency else profile.concurrency,
        scenarios=wanted,
        client="httpx" if encrypted else arguments.client,
        device=arguments.device,
        seed=arguments.seed,
        locust_workers=arguments.locust_workers,
        locust_seconds=arguments.locust_seconds,
    )
    return replace(options, slo_ms={**options.slo_ms, **_slo_ms(arguments.slo_ms, list(options.slo_ms))})


def _concurrency(text: str) -> tuple[int, ...]:
    try:
        concurrency = tuple(sorted({int(word) for word in text.split(",")}))
    except ValueError as error:
        raise BenchError(f"--concurrency takes numbers by comma, not {text!r}") from error
    if min(concurrency) < 1:
        raise BenchError("--concurrency starts at 1")
    return concurrency


def _slo_ms(text: str | None, routes: Sequence[str]) -> dict[str, float]:
    """`150` for every route, or `search=150,embeddings=50`."""
    told = [word.partition("=") for word in text.split(",")] if text else []
    try:
        limits = {name: float(value or name) for name, _, value in told}
        if len(told) == 1 and not told[0][2]:
            limits = dict.fromkeys(routes, float(told[0][0]))
    except ValueError as error:
        raise BenchError(f"--slo-ms takes milliseconds, or route=milliseconds by comma, not {text!r}") from error
    if unknown := sorted(limits.keys() - set(routes)):
        raise BenchError(f"--slo-ms: no such route: {', '.join(unknown)}; there are {', '.join(routes)}")
    return limits
