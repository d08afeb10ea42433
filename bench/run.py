"""`python -m bench run`: from the command line to a finished, printed and drawn campaign."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import orjson
from rich.console import Console
from rich.progress import Progress

from bench import calibrate, campaign, ceiling, cores, datasets, manifest, paths
from bench import reference as references
from bench.ask import Asked, ask
from bench.ceiling import Ceilings
from bench.driver.process import Driver
from bench.errors import BenchError
from bench.records import Runs
from bench.reference import Reference
from bench.session import Bench
from bench.show import Terminal

WIDTH = 124  # of a file or a pipe, which has none of its own
console = Console(width=None if sys.stdout.isatty() else WIDTH)


def run(arguments: argparse.Namespace) -> int:
    """Make or resume a campaign; 130 when Ctrl-C ended it, with all that is done kept and reported."""
    asked = ask(arguments)
    vectors = reference(asked.corpus)
    asked.folder.mkdir(parents=True, exist_ok=True)
    todo = asked.todo()
    runs = Runs(asked.runs)
    cores.pin(asked.place.pinning.driver)
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, _interrupt)
    interrupted = False
    try:
        _make(asked, vectors, runs, todo)
    except KeyboardInterrupt:
        interrupted = True
        console.print("\nStopped. What is done is kept; go on with:")
        console.print(f"  {asked.command} --campaign {asked.folder.name}", highlight=False, soft_wrap=True)
    finally:
        shutil.rmtree(asked.place.work, ignore_errors=True)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if runs.keys:
        _report(asked.folder)
    return 130 if interrupted else 0


def _interrupt(*_: object) -> None:
    """Stop once: a second signal would end the stopping, and leave a server behind."""
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_IGN)
    raise KeyboardInterrupt


def reference(name: str = "squad") -> Reference:
    """The reference vectors of a corpus, computed with a progress bar when they are not kept from before."""
    corpus = datasets.load(name)
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


def _report(folder: Path) -> None:
    from bench.recommend import recommendation
    from bench.report import build, print_summary
    from bench.report.summary import load

    build(folder)
    print_summary(folder, console)
    for sentence in recommendation(load(folder)):
        console.print(sentence, markup=False, highlight=False)
