"""The request for a campaign: the command line, turned into options, targets, a place and a folder."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from bench import paths, scenarios
from bench.campaign import runner
from bench.commands import run_arguments
from bench.datasets import trace
from bench.errors import BenchError
from bench.machine import core_lists, cores, device_names, facts
from bench.machine.cores import Pinning
from bench.measurement.plan import PROFILES, Options
from bench.records import runs_csv
from bench.records.refusal_codes import refused
from bench.records.runs_csv import Key
from bench.scenarios import second_opinion, slo
from bench.targets import Target, choose, devices, external
from bench.targets.processes import Place


@dataclass(frozen=True)
class CampaignRequest:
    """A campaign to measure: its options, targets, place, folder, corpus, and the command that reproduces it."""

    options: Options
    targets: list[Target]
    place: Place
    folder: Path
    command: str
    corpus: str

    @property
    def runs(self) -> Path:
        """The campaign's runs.csv, which may not exist yet."""
        return self.folder / "runs.csv"

    def todo(self) -> list[runner.Work]:
        """Return the remaining work."""
        return list(runner.plan_work(self.targets, self.options, self._find_done()))

    def _find_done(self) -> set[Key]:
        """Return the keys of cells with a row. A second opinion counts only if it is of the requested client."""
        rows = runs_csv.read(self.runs) if self.runs.exists() else []
        client = second_opinion.client_of(self.options)
        done = {
            runs_csv.key_of(row) for row in rows if row["scenario"] != second_opinion.NAME or row["client"] == client
        }
        work = runner.plan_work(self.targets, self.options, done)
        searches = [cell for own in work for cell in own.verified if cell.scenario == slo.NAME]
        return done | slo.find_finished(rows, searches, self.options)

    def finished(self) -> bool:
        """Return whether only cells of targets remain that failed to start or to verify."""
        rows = runs_csv.read(self.runs) if self.runs.exists() else []
        void = {(row["block"], row["target"]) for row in rows if _void(row)}
        return all((str(work.block), work.target.name) in void for work in self.todo())


def _void(row: dict[str, str]) -> bool:
    return row["scenario"] == "verify" and refused(row["codes"].split())


def read_request(arguments: argparse.Namespace) -> CampaignRequest:
    """Return the request of a command line. Raises BenchError that names a wrong value and the right ones."""
    if arguments.resume:
        return _find_unfinished(arguments)
    name = arguments.campaign or f"{datetime.now(UTC):%Y-%m-%dT%H%M}-{arguments.profile}"
    return _build_request(arguments, _results(arguments) / facts.folder(device_names.parse(arguments.device)) / name)


def _results(arguments: argparse.Namespace) -> Path:
    return Path(arguments.results or paths.CAMPAIGNS)


def _find_unfinished(arguments: argparse.Namespace) -> CampaignRequest:
    """Return the newest unfinished campaign of this machine and profile, with the options of its own command."""
    for folder, manifest in _list_campaigns([_results(arguments) / name for name in facts.folders()]):
        if manifest["profile"]["name"] == arguments.profile and _appendable(folder / "runs.csv"):
            request = _build_request(run_arguments.read_back(manifest["command"]), folder)
            if not request.finished():
                return request
    raise BenchError(
        f"nothing to resume: this machine has no unfinished {arguments.profile} campaign; omit --resume to begin one"
    )


def _list_campaigns(folders: Sequence[Path]) -> list[tuple[Path, dict[str, Any]]]:
    """Return every campaign in a machine's folders with its manifest, newest first."""
    files = [file for folder in folders for file in folder.glob("*/manifest.json")]
    campaigns = [(file.parent, orjson.loads(file.read_bytes())) for file in files]
    return sorted(campaigns, key=lambda campaign: str(campaign[1]["started_utc"]), reverse=True)


def _appendable(runs: Path) -> bool:
    """Return whether runs.csv does not exist, or has the current columns."""
    return not runs.exists() or runs.read_text().partition("\n")[0].split(",") == runs_csv.COLUMNS


def _build_request(arguments: argparse.Namespace, folder: Path) -> CampaignRequest:
    if not _appendable(folder / "runs.csv"):
        raise BenchError(f"{folder.name} has the columns of another version of the harness; begin a new campaign")
    options = read_options(arguments)
    targets = devices.enter(_choose_targets(arguments), device_names.parse(options.device))
    runner.check_installed(targets)
    place = Place(
        pinning=_choose_cores(arguments.server_cores, targets),
        work=paths.CACHE / "bench" / folder.name / "data",
        logs=paths.CACHE / "bench" / folder.name / "logs",
    )
    return CampaignRequest(
        options=options,
        targets=runner.add_twin(targets, options.profile.twin),
        place=place,
        folder=folder,
        command=run_arguments.command_of(arguments),
        corpus=arguments.corpus,
    )


def _choose_cores(text: str | None, targets: Sequence[Target]) -> Pinning:
    """Return the cores of server and driver. Raises BenchError if a target runs here and they cannot be separate."""
    pinning = cores.choose(core_lists.parse(text) if text else None)
    if not all(target.remote for target in targets):
        cores.check(pinning)
    return pinning


def _choose_targets(arguments: argparse.Namespace) -> list[Target]:
    """Return the targets of --gateways, default all of ours; with --target, those of --gateways and that one."""
    names = arguments.gateways.split(",") if arguments.gateways else None
    if not arguments.target:
        return choose(names, arguments.peers)
    server = external.probe(
        external.describe(
            arguments.target,
            arguments.dialect,
            name=arguments.name or "",
            model=arguments.model or "",
            other_model=arguments.other_model or "",
            precision=arguments.precision,
            key=arguments.api_key or "",
        )
    )
    own = choose(names or [], arguments.peers)
    if server.name in [target.name for target in own]:
        raise BenchError(f"--name {server.name} is another target of this campaign; choose another name")
    return [*own, server]


def read_options(arguments: argparse.Namespace) -> Options:
    """Return the options of a campaign. Raises BenchError for a wrong value."""
    profile = PROFILES[arguments.profile]
    if arguments.blocks:
        profile = profile.with_blocks(arguments.blocks)
    profile = replace(profile, twin=arguments.twin or profile.twin)
    names = tuple(arguments.scenarios.split(",")) if arguments.scenarios else tuple(profile.scenarios)
    for name in names:
        scenarios.load(name)
    encrypted = (arguments.target or "").startswith("https:")
    options = Options(
        profile=profile,
        concurrency=_parse_concurrency(arguments.concurrency) if arguments.concurrency else profile.concurrency,
        scenarios=names,
        client="httpx" if encrypted else arguments.client,
        device=arguments.device,
        seed=arguments.seed,
        locust_workers=arguments.locust_workers,
        locust_seconds=arguments.locust_seconds,
        trace=trace.load(arguments.trace) if arguments.trace else None,
    )
    return replace(options, slo_ms={**options.slo_ms, **_parse_slo_ms(arguments.slo_ms, list(options.slo_ms))})


def _parse_concurrency(text: str) -> tuple[int, ...]:
    """Return the levels, ascending. Raises BenchError for a value that is no number, or below 1."""
    try:
        concurrency = tuple(sorted({int(word) for word in text.split(",")}))
    except ValueError as error:
        raise BenchError(f"--concurrency takes numbers separated by commas, not {text!r}") from error
    if min(concurrency) < 1:
        raise BenchError("--concurrency must be at least 1")
    return concurrency


def _parse_slo_ms(text: str | None, routes: Sequence[str]) -> dict[str, float]:
    """Return the limits by route, from `150` for every route or `search=150,embeddings=50`."""
    parts = [part.partition("=") for part in text.split(",")] if text else []
    try:
        limits = {name: float(value or name) for name, _, value in parts}
        if len(parts) == 1 and not parts[0][2]:
            limits = dict.fromkeys(routes, float(parts[0][0]))
    except ValueError as error:
        raise BenchError(
            f"--slo-ms takes milliseconds, or route=milliseconds separated by commas, not {text!r}"
        ) from error
    if unknown := sorted(limits.keys() - set(routes)):
        raise BenchError(f"--slo-ms: unknown route {', '.join(unknown)}; routes are {', '.join(routes)}")
    return limits
