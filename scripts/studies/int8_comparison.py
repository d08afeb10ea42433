"""
Compare variants of int8 quantisation of all-MiniLM-L6-v2 with fp32: vectors, search quality and speed.

    python -m scripts.studies.int8_comparison --out results/studies/<machine>/<date>-int8/choice.csv

Every graph is made in a temporary folder from a freshly exported fp32 graph. The first row after fp32 is the shipped
graph, onnx/int8.onnx.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer

from bench.datasets import Corpus, Question, squad
from bench.machine import cores
from bench.retrieval import evaluation, gateway
from bench.verification import ranking_metrics
from gateways.core.models import catalog
from gateways.core.models.catalog import Located
from scripts.models.export_onnx import ROOT, calibration_batches, silence_libraries, trace_model
from scripts.models.graph_files import weights_path
from scripts.models.int8_graph import smooth
from scripts.models.parity import F32, batches, cosines, embed, open_session, read_squad, read_tokenizer
from scripts.models.remove_padding import unpad
from scripts.studies.int8_variants import VARIANTS, Calibration

FOLDER = ROOT / "models" / "all-MiniLM-L6-v2"
MAX_INPUT_TOKENS = 256
TIMED_TEXTS, TIMED_BATCH, ROUNDS = 64, 16, 3
# onnxruntime's calibrators keep all values in arrays of one shape: STATIC_PASSAGES passages cut to STATIC_TOKENS.
STATIC_PASSAGES, STATIC_TOKENS = 48, 128


@dataclass(frozen=True)
class Row:
    """
    The measurements of one graph. `gain` is the mean difference to fp32 in nDCG@10, with its paired 95 % interval.

    `texts_per_s` is the best of ROUNDS rounds on one thread, which is rough. `failed` is the error of a variant that
    cannot be built; its figures are NaN.
    """

    variant: str
    megabytes: float = float("nan")
    cosine_mean: float = float("nan")
    cosine_min: float = float("nan")
    hit1: float = float("nan")
    ndcg10: float = float("nan")
    gain: float = float("nan")
    gain_low: float = float("nan")
    gain_high: float = float("nan")
    texts_per_s: float = float("nan")
    failed: str = ""


@dataclass(frozen=True)
class Reference:
    """The passage vectors of fp32 (p, d) and its nDCG@10 per question (q,), which every graph is compared with."""

    tokenizer: Tokenizer
    corpus: Corpus
    questions: Sequence[Question]
    passages: F32 | None = None
    gains: evaluation.F64 | None = None

    def vectors(self, graph: Path) -> tuple[F32, F32]:
        """Return the unit vectors of all passages and of the questions, (p, d) and (q, d)."""
        session = open_session(graph)
        texts = [question.text for question in self.questions]
        return (
            embed(session, self.tokenizer, list(self.corpus.passages.values())),
            embed(session, self.tokenizer, texts),
        )

    def judge(self, variant: str, graph: Path) -> tuple[Row, F32, evaluation.F64]:
        """
        Return a graph's row without speed, its passage vectors (p, d) and its nDCG@10 per question (q,).

        fp32 itself is compared with itself.
        """
        passages, questions = self.vectors(graph)
        rankings = ranking_metrics.rank_by_dot(questions, passages, list(self.corpus.passages))
        quality = ranking_metrics.measure(rankings, [question.relevant for question in self.questions])
        gains = evaluation.gains(rankings, self.questions)
        differences = gains - (gains if self.gains is None else self.gains)
        cosine = cosines(passages, passages if self.passages is None else self.passages)
        low, high = evaluation.interval(differences)
        row = Row(
            variant=variant,
            megabytes=sum(file.stat().st_size for file in (graph, weights_path(graph)) if file.is_file()) / 1e6,
            cosine_mean=cosine["mean"],
            cosine_min=cosine["min"],
            hit1=quality.hit1,
            ndcg10=quality.ndcg10,
            gain=float(differences.mean()),
            gain_low=low,
            gain_high=high,
        )
        return row, passages, gains


def measure(
    corpus: Corpus, questions: Sequence[Question], folder: Path, save: Callable[[Sequence[Row]], None]
) -> list[Row]:
    """Build every variant in `folder` and judge it, after fp32 and the shipped graph. `save` gets the rows so far."""
    tokenizer = read_tokenizer(FOLDER, MAX_INPUT_TOKENS)
    graphs = {name: FOLDER / "onnx" / f"{file}.onnx" for name, file in (("fp32", "fp32"), ("shipped", "int8"))}
    reference = Reference(tokenizer, corpus, questions)
    fp32_row, passages, gains = reference.judge("fp32", graphs["fp32"])
    reference = replace(reference, passages=passages, gains=gains)
    rows = {"fp32": fp32_row, "shipped": reference.judge("shipped", graphs["shipped"])[0]}
    trace_model(locate_model(), folder)
    calibration = make_calibration(tokenizer, list(corpus.passages.values()), folder / "fp32.onnx", folder)
    for number, (variant, recipe) in enumerate(VARIANTS.items()):
        save(list(rows.values()))
        graph = folder / f"{number:02d}.onnx"
        try:
            recipe.build(graph, calibration)
            unpad(graph)
            rows[variant], graphs[variant] = reference.judge(variant, graph)[0], graph
        except Exception as error:  # any error of a library: a failed variant is a row of the table too
            rows[variant] = Row(variant, failed=" ".join(f"{type(error).__name__}: {error}".split())[:300])
    save(list(rows.values()))
    speeds = measure_speeds(graphs, tokenizer, list(corpus.passages.values()))
    return [replace(row, texts_per_s=speeds.get(name, row.texts_per_s)) for name, row in rows.items()]


def locate_model() -> Located:
    """Return the files of the model, from the catalogue."""
    models = catalog.load(ROOT / "models.yaml")
    return models.locate(FOLDER.parent, FOLDER.name, "model.safetensors", precision="fp32", device="cpu")


def make_calibration(tokenizer: Tokenizer, passages: Sequence[str], fp32: Path, folder: Path) -> Calibration:
    """Return the batches of the shipped graph's calibration, and evenly spaced passages cut to one length."""
    texts = read_squad(ROOT / "bench/datasets/squad-v2-dev.json.gz", every=2, questions=2000)
    mixed, smoothed = calibration_batches(texts, tokenizer), folder / "smoothed.onnx"
    smooth(fp32, smoothed, mixed)
    rows = [encoding.ids for encoding in tokenizer.encode_batch(list(passages))]
    truncated = [[*ids[: STATIC_TOKENS - 1], ids[-1]] for ids in rows if len(ids) >= STATIC_TOKENS]
    sample = truncated[:: len(truncated) // STATIC_PASSAGES][:STATIC_PASSAGES]
    single = [(ids, mask) for _, ids, mask in batches(sample, 1)]
    return Calibration(mixed, single, {False: fp32, True: smoothed})


def measure_speeds(graphs: dict[str, Path], tokenizer: Tokenizer, passages: Sequence[str]) -> dict[str, float]:
    """Return the texts per second of each graph: the best of ROUNDS rounds, each of which runs every graph once."""
    sample = passages[:: len(passages) // TIMED_TEXTS][:TIMED_TEXTS]
    rows = [encoding.ids for encoding in tokenizer.encode_batch(sample)]
    feeds = [{"input_ids": ids, "attention_mask": mask} for _, ids, mask in batches(rows, TIMED_BATCH)]
    best = dict.fromkeys(graphs, 0.0)
    for _ in range(ROUNDS):
        for name, graph in graphs.items():
            session = open_session(graph)
            session.run(None, feeds[-1])
            started_s = time.perf_counter()
            for feed in feeds:
                session.run(["sentence_embedding"], feed)
            best[name] = max(best[name], len(sample) / (time.perf_counter() - started_s))
    return best


def write(file: Path, rows: Sequence[Row]) -> None:
    """Write the rows as CSV with six digits. NaN is an empty cell."""
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, [column.name for column in fields(Row)], lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: _format_cell(value) for name, value in asdict(row).items()})


def _format_cell(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return "" if np.isnan(value) else f"{value:.6g}"


def make_table(rows: Sequence[Row], questions: int) -> Table:
    """Return the table for the terminal; the difference to fp32 is in points of 100."""
    table = Table(title=f"int8 of {FOLDER.name} against fp32, SQuAD, {questions:,} questions; speed is rough")
    for heading in ("variant", "MB", "cosine", "least", "hit@1", "nDCG@10", "points over fp32", "texts/s"):
        table.add_column(heading, justify="left" if heading == "variant" else "right", no_wrap=True)
    for row in rows:
        if row.failed:
            table.add_row(row.variant, "failed")
            continue
        table.add_row(
            row.variant,
            f"{row.megabytes:.1f}",
            f"{row.cosine_mean:.4f}",
            f"{row.cosine_min:.4f}",
            f"{row.hit1:.4f}",
            f"{row.ndcg10:.4f}",
            f"{100 * row.gain:+.2f} [{100 * row.gain_low:+.2f}, {100 * row.gain_high:+.2f}]",
            f"{row.texts_per_s:.0f}",
        )
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all variants, print the table, write the CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=2_000, help="maximum number of questions; default: 2000")
    parser.add_argument("--out", type=Path, help="a CSV file; default: under results/studies")
    options = parser.parse_args(arguments)
    silence_libraries()
    corpus = squad.load()
    questions = gateway.draw_questions(corpus, options.questions, seed=1)
    file = options.out or gateway.folder("int8") / "choice.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    console = Console(width=None if sys.stdout.isatty() else 124)
    with (
        tempfile.TemporaryDirectory(prefix="int8-choice-") as folder,
        cores.pinned(cores.available()[-1:]),
    ):  # one thread, on one core
        rows = measure(corpus, questions, Path(folder), partial(write, file))
    write(file, rows)
    console.print(make_table(rows, len(questions)))
    for row in rows:
        if row.failed:
            console.print(f"{row.variant} failed: {row.failed}", markup=False, highlight=False)
    console.print(f"written: {file}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
