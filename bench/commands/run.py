"""`python -m bench run`: measure a campaign, draw its report, and print its results."""

from __future__ import annotations

import argparse
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

import orjson

from bench.campaign import estimate, manifest, runner
from bench.commands import run_arguments
from bench.commands.progress import Terminal, console
from bench.commands.reference import load_reference
from bench.commands.run_options import CampaignRequest, read_request
from bench.driver.process import Driver
from bench.machine import cores, cpuset, speed
from bench.measurement import client_ceiling
from bench.measurement.client_ceiling import Ceilings
from bench.measurement.session import Bench
from bench.records.runs_csv import Runs
from bench.verification.reference import Reference


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    run_arguments.add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure or resume a campaign. Return 130 if Ctrl-C stopped it (its rows are kept and reported), else 0."""
    request = read_request(arguments)
    vectors = load_reference(request.corpus)
    request.folder.mkdir(parents=True, exist_ok=True)
    todo = request.todo()
    cores_of_server = max(1, len(request.place.pinning.server))
    seconds = estimate.seconds(todo, request.options, len(vectors.squad.passages), cores_of_server)
    console.print(estimate.render(seconds), highlight=False)
    runs = Runs(request.runs)
    cores.pin(request.place.pinning.driver)
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, _interrupt)
    interrupted = False
    try:
        _measure(request, vectors, runs, todo)
    except KeyboardInterrupt:
        interrupted = True
        console.print("\nStopped. Finished cells are kept. To continue:")
        console.print(f"  {request.command} --campaign {request.folder.name}", highlight=False, soft_wrap=True)
    finally:
        shutil.rmtree(request.place.work, ignore_errors=True)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if runs.keys:
        _report(request.folder)
    return 130 if interrupted else 0


def _interrupt(*_: object) -> None:
    """Raise KeyboardInterrupt and ignore further signals, which would interrupt the clean-up and leave a server."""
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_IGN)
    raise KeyboardInterrupt


def _measure(request: CampaignRequest, vectors: Reference, runs: Runs, todo: Sequence[runner.Work]) -> None:
    cells = sum(len(work.standalone) + len(work.verified) for work in todo)
    with Driver(request.place.pinning.driver) as driver, Terminal(console, cells) as show:
        pinning = request.place.pinning
        if pinning.disjoint:
            line = cores.describe(pinning, held=bool(cpuset.enter_command(pinning.server)))
            console.print(line, highlight=False, soft_wrap=True)
        show.step("client ceiling, against a server that does no work")
        ceilings = client_ceiling.measure(
            vectors.squad, request.options, request.place, driver, runner.ceiling_loads(todo)
        )
        console.print(_render_ceilings(ceilings), highlight=False, soft_wrap=True)
        speed_s = _write_manifest(request, vectors, ceilings, speed.seconds(request.place.pinning.server))
        samples = request.folder / "samples"
        bench = Bench(request.options, request.place, driver, vectors, ceilings, show, runs, speed_s, samples)
        runner.run(bench, runs, todo)


def _write_manifest(request: CampaignRequest, vectors: Reference, ceilings: Ceilings, speed_s: float) -> float:
    """
    Write manifest.json. A resumed campaign keeps its manifest and adds new targets, environments and models.

    Returns the machine's speed in the manifest, which is the baseline of drift for the whole campaign.
    """
    file = request.folder / "manifest.json"
    content = manifest.compose(
        request.targets, request.options, request.place, vectors, ceilings, speed_s, request.command
    )
    if file.exists():
        original = orjson.loads(file.read_bytes())
        merged = {part: {**content[part], **original[part]} for part in ("targets", "environments", "models")}
        content = {**original, **merged}
    manifest.write(file, content)
    return float(content["calibration_s"])


def _render_ceilings(ceilings: Ceilings) -> str:
    parts = [f"{route} c={c}: {rps:,.0f}" for (route, c), rps in ceilings.rps.items()]
    return "client ceiling, requests/s: " + ", ".join(parts)


def _report(folder: Path) -> None:
    from bench.analysis.summary import load
    from bench.recommend import recommendation
    from bench.report import build, print_summary

    build(folder)
    print_summary(folder, console)
    for sentence in recommendation(load(folder)):
        console.print(sentence, markup=False, highlight=False)
