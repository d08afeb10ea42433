"""`python -m bench quality`: how well each way of searching finds what answers, what it costs in time and storage."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench import datasets, targets
from bench.datasets import Corpus, Question
from bench.retrieval import glued, measured, served, ways
from bench.retrieval.measured import Row, Searched
from bench.targets import Target


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Measure each gateway on the corpus, write `quality.csv` and its plot, print the table."""
    from bench.retrieval import plot

    corpus = datasets.load(arguments.beir or arguments.corpus)
    questions = served.draw(corpus, arguments.questions, arguments.seed)
    chosen = targets.choose(arguments.gateways.split(","), False)
    file = Path(arguments.out) if arguments.out else served.folder("quality") / f"{corpus.name}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    found: list[Searched] = []
    with Progress(console=console) as progress:
        for target in chosen:
            found.append(_search(target, corpus, questions, progress, with_glued=arguments.glued))
    made = [row for its in found for row in measured.rows(corpus.name, questions, its, found[0])]
    measured.write(file, made)
    plot.draw(made, file.with_suffix(".png"))
    console.print(_table(made))
    console.print(f"written: {file}, {file.with_suffix('.png').name}", highlight=False)
    return 0


def _search(
    target: Target, corpus: Corpus, questions: Sequence[Question], progress: Progress, *, with_glued: bool
) -> Searched:
    with served.ingested(target, corpus, progress) as (api, data_dir):
        asked, stored_kb = {}, {}
        for way in ways.of_server(api):
            say = served.bar(progress, f"{target.name} {way.name}", len(questions))
            asked[way.name] = ways.ask(api, way, questions, say)
            stored_kb[way.name] = sum(_stored(data_dir, name) for name in way.vectors)
        if with_glued:
            say = served.bar(progress, f"{target.name} glued", len(questions) * len(glued.WAYS))
            asked |= glued.measure(api, corpus, questions, say)
    size = 1000 * len(corpus.passages)
    per_passage = {name: total / size for name, total in stored_kb.items()}
    return Searched(target.name, target.precision, asked, per_passage)


def _stored(folder: Path, vector: str) -> int:
    """Bytes on disk of the files of one named vector; what was only reserved does not count."""
    folders = folder.rglob(f"vector_*-{vector}")
    return sum(file.stat().st_blocks * 512 for one in folders for file in one.rglob("*") if file.is_file())


def _table(made: Sequence[Row]) -> Table:
    table = Table(title=f"nDCG@10 on {made[0].corpus}, {made[0].questions:,} questions")
    for heading in (
        "target",
        "way",
        "hit@1",
        "hit@5",
        "MRR@10",
        "nDCG@10",
        "over hybrid",
        "as the first",
        "p50 ms",
        "kB a passage",
    ):
        table.add_column(heading, justify="left" if heading in ("target", "way") else "right")
    for row in made:
        table.add_row(
            row.target,
            row.way,
            *(f"{value:.3f}" for value in (row.hit1, row.hit5, row.mrr10)),
            f"{row.ndcg10:.3f} [{row.ndcg10_low:.3f}, {row.ndcg10_high:.3f}]",
            f"{row.over_hybrid:+.3f} [{row.over_hybrid_low:+.3f}, {row.over_hybrid_high:+.3f}]",
            f"{100 * row.same_top10:.1f} %",
            f"{row.p50_ms:.2f}",
            "" if row.stored_kb is None else f"{row.stored_kb:.1f}",
        )
    return table
