"""`python -m bench quality`: the retrieval quality, latency and storage of each search mode."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench import datasets, targets
from bench.datasets import Corpus, Question
from bench.retrieval import evaluation, gateway, rechunked_corpus, search_modes
from bench.retrieval.evaluation import Row, TargetAnswers
from bench.targets import Target


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Measure each gateway on the corpus; write a CSV file and its plot, and print the table."""
    from bench.retrieval import plot

    corpus = datasets.load(arguments.beir or arguments.corpus)
    questions = gateway.draw_questions(corpus, arguments.questions, arguments.seed)
    gateways = targets.choose(arguments.gateways.split(","), False)
    file = Path(arguments.out) if arguments.out else gateway.folder("quality") / f"{corpus.name}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    answers: list[TargetAnswers] = []
    with Progress(console=console) as progress:
        for target in gateways:
            answers.append(_search_target(target, corpus, questions, progress, with_glued=arguments.glued))
    rows = [row for own in answers for row in evaluation.evaluate(corpus.name, questions, own, answers[0])]
    evaluation.write(file, rows)
    plot.draw(rows, file.with_suffix(".png"))
    console.print(_render_table(rows))
    console.print(f"written: {file}, {file.with_suffix('.png').name}", highlight=False)
    return 0


def _search_target(
    target: Target, corpus: Corpus, questions: Sequence[Question], progress: Progress, *, with_glued: bool
) -> TargetAnswers:
    with gateway.ingested(target, corpus, progress) as (api, data_dir):
        answers, stored_bytes = {}, {}
        for mode in search_modes.list_modes(api):
            advance = gateway.add_bar(progress, f"{target.name} {mode.name}", len(questions))
            answers[mode.name] = search_modes.search(api, mode, questions, advance)
            stored_bytes[mode.name] = sum(_measure_storage(data_dir, name) for name in mode.vectors)
        if with_glued:
            advance = gateway.add_bar(progress, f"{target.name} glued", len(questions) * len(rechunked_corpus.MODES))
            answers |= rechunked_corpus.measure(api, corpus, questions, advance)
    kb_per_passage = {name: total / 1000 / len(corpus.passages) for name, total in stored_bytes.items()}
    return TargetAnswers(target.name, target.precision, answers, kb_per_passage)


def _measure_storage(folder: Path, vector: str) -> int:
    """Return the bytes on disk of the files of one named vector; reserved blocks without data do not count."""
    folders = folder.rglob(f"vector_*-{vector}")
    return sum(file.stat().st_blocks * 512 for path in folders for file in path.rglob("*") if file.is_file())


def _render_table(rows: Sequence[Row]) -> Table:
    table = Table(title=f"nDCG@10 on {rows[0].corpus}, {rows[0].questions:,} questions")
    for heading in (
        "target",
        "way",
        "hit@1",
        "hit@5",
        "MRR@10",
        "nDCG@10",
        "over hybrid",
        "same ten",
        "p50 ms",
        "kB a passage",
    ):
        table.add_column(heading, justify="left" if heading in ("target", "way") else "right")
    for row in rows:
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
