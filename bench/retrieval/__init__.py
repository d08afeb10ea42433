"""`python -m bench quality`: how well each way of searching finds what answers, what it costs in time and storage."""

from __future__ import annotations

import argparse
import random
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from bench import cores, datasets, machine, paths, targets
from bench.api import Api
from bench.datasets import Corpus, Question
from bench.processes import Place, Running
from bench.retrieval import measured, ways
from bench.retrieval.measured import Row
from bench.targets import Target


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Measure each gateway on the corpus, write `quality.csv` and its plot, print the table."""
    from bench.retrieval import plot

    corpus = datasets.load(arguments.beir or arguments.corpus)
    questions = draw(corpus, arguments.questions, arguments.seed)
    chosen = targets.choose(arguments.gateways.split(","), False)
    file = Path(arguments.out) if arguments.out else _default_file(corpus)
    file.parent.mkdir(parents=True, exist_ok=True)
    made: list[Row] = []
    with Progress(console=console) as progress:
        for target in chosen:
            target.check_installed()
            made += _measure(target, corpus, questions, progress)
    measured.write(file, made)
    plot.draw(made, file.with_suffix(".png"))
    console.print(_table(made))
    console.print(f"written: {file}, {file.with_suffix('.png').name}", highlight=False)
    return 0


def draw(corpus: Corpus, most: int, seed: int) -> list[Question]:
    """At most so many of the questions that some passage answers, the same for the same seed."""
    answerable = list({question.text: question for question in corpus.answerable}.values())
    return random.Random(seed).sample(answerable, min(most, len(answerable)))  # noqa: S311  (reproducible)


def _measure(target: Target, corpus: Corpus, questions: Sequence[Question], progress: Progress) -> list[Row]:
    pinning = cores.split(cores.available())
    work = paths.CACHE / "bench" / f"quality-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    place = Place(pinning, work / "data", work / "logs")
    try:
        with cores.pinned(pinning.driver), Running(target, place, target.name) as running:
            running.wait_ready()
            with Api(running) as api:
                task = progress.add_task(f"{target.name} ingests", total=len(corpus.passages))
                api.ingest(corpus.passages, lambda done: progress.update(task, completed=done))
                progress.update(task, completed=len(corpus.passages))
                asked, stored_kb = {}, {}
                for way in ways.of_server(api):
                    task = progress.add_task(f"{target.name} {way.name}", total=len(questions))
                    say = partial(_advance, progress, task)
                    asked[way.name] = ways.ask(api, way, questions, say)
                    stored_kb[way.name] = sum(_stored(running.data_dir, name) for name in way.vectors)
        size = 1000 * len(corpus.passages)
        per_passage = {name: total / size for name, total in stored_kb.items()}
        return measured.rows(corpus.name, target.name, target.precision, questions, asked, per_passage)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _advance(progress: Progress, task: TaskID, done: int) -> None:
    progress.update(task, completed=done)


def _stored(folder: Path, vector: str) -> int:
    """Bytes on disk of the files of one named vector; what was only reserved does not count."""
    folders = folder.rglob(f"vector_*-{vector}")
    return sum(file.stat().st_blocks * 512 for one in folders for file in one.rglob("*") if file.is_file())


def _default_file(corpus: Corpus) -> Path:
    described = machine.describe()
    slug = machine.slug(described["cpu"], described["cpu_flags"], described["cores"])
    return paths.RESULTS / slug / f"{datetime.now(UTC):%Y-%m-%d}-quality" / f"{corpus.name}.csv"


def _table(made: Sequence[Row]) -> Table:
    table = Table(title=f"nDCG@10 on {made[0].corpus}, {made[0].questions:,} questions")
    for heading in ("target", "way", "hit@1", "hit@5", "MRR@10", "nDCG@10", "over hybrid", "p50 ms", "kB a passage"):
        table.add_column(heading, justify="left" if heading in ("target", "way") else "right")
    for row in made:
        table.add_row(
            row.target,
            row.way,
            *(f"{value:.3f}" for value in (row.hit1, row.hit5, row.mrr10)),
            f"{row.ndcg10:.3f} [{row.ndcg10_low:.3f}, {row.ndcg10_high:.3f}]",
            f"{row.over_hybrid:+.3f} [{row.over_hybrid_low:+.3f}, {row.over_hybrid_high:+.3f}]",
            f"{row.p50_ms:.2f}",
            f"{row.stored_kb:.1f}",
        )
    return table
