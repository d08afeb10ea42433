"""`python -m bench run`: from the command line to a finished, printed and drawn campaign."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import orjson
from rich.console import Console
from rich.progress import Progress

from bench import calibrate, campaign, ceiling, cores, machine, manifest, paths, scenarios, targets
from bench import reference as references
from bench.ceiling import Ceilings
from bench.datasets import squad
from bench.driver.process import Driver
from bench.errors import BenchError
from bench.plan import PROFILES, Options
from bench.processes import Place
from bench.records import Runs
from bench.reference import Reference
from bench.session import Bench
from bench.show import Terminal

WIDTH = 124  # of a file or a pipe, which has none of its own
console = Console(width=None if sys.stdout.isatty() else WIDTH)


@dataclass(frozen=True)
class Asked:
    """The command line, turned into what the campaign needs."""

    options: Options
    targets: list[targets.Target]
    place: Place
    folder: Path
    command: str


def run(arguments: argparse.Namespace) -> int:
    """Make or resume a campaign; 130 when Ctrl-C ended it, with all that is done kept and reported."""
    asked = _ask(arguments)
    vectors = reference()
    asked.folder.mkdir(parents=True, exist_ok=True)
    runs = Runs(asked.folder / "runs.csv")
    todo = list(campaign.works(asked.targets, asked.options, runs.keys))
    cores.pin(asked.place.pinning.driver)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: no server is left behind
    interrupted = False
    try:
        _make(asked, vectors, runs, todo)
    except KeyboardInterrupt:
        interrupted = True
        console.print("\nStopped. What is done is kept; go on with:")
        console.print(f"  {asked.command} --campaign {asked.folder.name}", highlight=False, soft_wrap=True)
    finally:
        shutil.rmtree(asked.place.work, ignore_errors=True)
    if runs.keys:
        _report(asked.folder)
    return 130 if interrupted else 0


def reference() -> Reference:
    """The reference vectors, computed with a progress bar when they are not kept from before."""
    corpus = squad.load()
    weights = paths.model_dir() / "model.safetensors"
    if not weights.exists():
        raise BenchError("the model is missing (make setup)")
    kept = references.cache_file(corpus, references.sha256_of(weights))
    if kept.exists():
        console.print(f"reference vectors: reused {kept.relative_to(paths.ROOT)}", highlight=False)
        return references.load(corpus)
    with Progress(console=console) as progress:
        task = progress.add_task("reference vectors", total=len(corpus.passages) + len(corpus.texts))
        return references.load(corpus, lambda count: progress.advance(task, count))


def _make(asked: Asked, vectors: Reference, runs: Runs, todo: Sequence[campaign.Work]) -> None:
    cells = sum(len(work.cold) + len(work.verified) for work in todo)
    with Driver(asked.place.pinning.driver) as driver, Terminal(console, cells) as show:
        show.step("client ceiling, against a server that does nothing")
        ceilings = ceiling.measure(vectors.squad, asked.options, asked.place, driver, campaign.ceiling_loads(todo))
        console.print(_ceiling_line(ceilings), highlight=False, soft_wrap=True)
        speed_s = _write_manifest(asked, vectors, ceilings, calibrate.seconds(asked.place.pinning.server))
        samples = asked.folder / "samples"
        bench = Bench(asked.options, asked.place, driver, vectors, ceilings, show, runs, speed_s, samples)
        campaign.run(bench, runs, todo)


def _write_manifest(asked: Asked, vectors: Reference, ceilings: Ceilings, speed_s: float) -> float:
    """
    A resumed campaign keeps the manifest it began with, and adds the targets that are new.

    Returns the machine's speed as the campaign began with it, so that what follows is held to the same.
    """
    file = asked.folder / "manifest.json"
    content = manifest.compose(asked.targets, asked.options, asked.place, vectors, ceilings, speed_s, asked.command)
    if file.exists():
        began = orjson.loads(file.read_bytes())
        added = {part: {**content[part], **began[part]} for part in ("targets", "environments", "models")}
        content = {**began, **added}
    manifest.write(file, content)
    return float(content["calibration_s"])


def _ceiling_line(ceilings: Ceilings) -> str:
    parts = [f"{route} c={c}: {rps:,.0f}" for (route, c), rps in ceilings.rps.items()]
    return "client ceiling, requests/s: " + ", ".join(parts)


def _ask(arguments: argparse.Namespace) -> Asked:
    options = _options(arguments)
    names = arguments.gateways.split(",") if arguments.gateways else None
    chosen = targets.choose(names, arguments.peers)
    campaign.check_installed(chosen)
    own = cores.parse(arguments.server_cores) if arguments.server_cores else None
    name = arguments.campaign or f"{datetime.now(UTC):%Y-%m-%dT%H%M}-{options.profile.name}"
    described = machine.describe()
    place = Place(
        pinning=cores.split(cores.available(), own),
        work=paths.CACHE / "bench" / name / "data",
        logs=paths.CACHE / "bench" / name / "logs",
        device=options.device,
    )
    return Asked(
        options=options,
        targets=campaign.lineup(chosen, options.profile.twin),
        place=place,
        folder=(arguments.results or paths.RESULTS)
        / machine.slug(described["cpu"], described["cpu_flags"], described["cores"])
        / name,
        command=command_of(arguments),
    )


def _options(arguments: argparse.Namespace) -> Options:
    profile = PROFILES[arguments.profile]
    profile = replace(profile, blocks=arguments.blocks or profile.blocks, twin=arguments.twin or profile.twin)
    try:
        concurrency = tuple(sorted({int(word) for word in arguments.concurrency.split(",")}))
    except ValueError as error:
        raise BenchError(f"--concurrency takes numbers by comma, not {arguments.concurrency!r}") from error
    if min(concurrency) < 1:
        raise BenchError("--concurrency starts at 1")
    wanted = tuple(arguments.scenarios.split(",")) if arguments.scenarios else tuple(profile.scenarios)
    for name in wanted:
        scenarios.load(name)
    return Options(
        profile=profile,
        concurrency=concurrency,
        scenarios=wanted,
        client=arguments.client,
        device=arguments.device,
        seed=arguments.seed,
    )


def command_of(arguments: argparse.Namespace) -> str:
    """The command as typed in the repository root, with what came from the environment and without defaults."""
    words = ["python -m bench run", f"--profile {arguments.profile}"]
    words += [f"--gateways {arguments.gateways}"] if arguments.gateways else []
    words += ["--peers"] if arguments.peers else []
    words += [f"--concurrency {arguments.concurrency}"] if arguments.concurrency != "1,4,16,64" else []
    words += [f"--device {arguments.device}"] if arguments.device != "auto" else []
    words += [f"--scenarios {arguments.scenarios}"] if arguments.scenarios else []
    words += [f"--blocks {arguments.blocks}"] if arguments.blocks else []
    words += ["--twin"] if arguments.twin else []
    words += [f"--client {arguments.client}"] if arguments.client != "raw" else []
    words += [f"--server-cores {arguments.server_cores}"] if arguments.server_cores else []
    words += [f"--seed {arguments.seed}"] if arguments.seed != 1 else []
    return " ".join(words)


def _report(folder: Path) -> None:
    from bench.report import build, print_summary

    build(folder)
    print_summary(folder, console)
