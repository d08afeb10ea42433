"""
Which int8 graph: a table of ways to quantise all-MiniLM-L6-v2, each held to fp32 in vectors, search and speed.

Every graph is made in a temporary folder, of a graph that is exported for it; what ships, onnx/int8.onnx, is the
first row after fp32.
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

# As a module (`python -m scripts.int8_choice`) its neighbours are not on the path; as a script they are.
sys.path.append(str(Path(__file__).resolve().parent))

from export_onnx import ROOT, beside, calibration_batches, quiet, traced
from int8 import smooth
from int8_variants import VARIANTS, Calibration
from parity import F32, batches, cosines, embed, open_session, read_squad, read_tokenizer
from tokenizers import Tokenizer
from unpad import unpad

from bench import cores, quality
from bench.datasets import Corpus, Question, squad
from bench.retrieval import measured, served
from gateways.core import catalog
from gateways.core.catalog import Located

FOLDER = ROOT / "models" / "all-MiniLM-L6-v2"
MAX_INPUT_TOKENS = 256
TIMED_TEXTS, TIMED_BATCH, ROUNDS = 64, 16, 3
# onnxruntime's calibrators keep all they see, in arrays of one shape: so many passages, each cut to so many tokens.
STATIC_PASSAGES, STATIC_TOKENS = 48, 128


@dataclass(frozen=True)
class Row:
    """
    One graph. `gain` is its mean difference to fp32 in nDCG@10, 0..1, `low` and `high` its 95 % paired interval.

    `texts_per_s` is of one thread, the best of some rounds: a rough figure. `failed` says why there are no others.
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
class Yardstick:
    """What every graph is held to: fp32's passage vectors (p, d) and its rankings, (q,) gains in nDCG@10."""

    tokenizer: Tokenizer
    corpus: Corpus
    questions: Sequence[Question]
    passages: F32 | None = None
    gains: measured.F64 | None = None

    def vectors(self, graph: Path) -> tuple[F32, F32]:
        """Unit vectors of all passages and of the questions, (p, d) and (q, d)."""
        session = open_session(graph)
        texts = [question.text for question in self.questions]
        return (
            embed(session, self.tokenizer, list(self.corpus.passages.values())),
            embed(session, self.tokenizer, texts),
        )

    def judge(self, variant: str, graph: Path) -> tuple[Row, F32, measured.F64]:
        """A graph's row but for its speed, its passage vectors and its gains; the first one is held to itself."""
        passages, questions = self.vectors(graph)
        rankings = quality.rank_by_dot(questions, passages, list(self.corpus.passages))
        found = quality.measure(rankings, [question.relevant for question in self.questions])
        gains = measured.gains(rankings, self.questions)
        over = gains - (gains if self.gains is None else self.gains)
        cosine = cosines(passages, passages if self.passages is None else self.passages)
        low, high = measured.interval(over)
        row = Row(
            variant=variant,
            megabytes=sum(file.stat().st_size for file in (graph, beside(graph)) if file.is_file()) / 1e6,
            cosine_mean=cosine["mean"],
            cosine_min=cosine["min"],
            hit1=found.hit1,
            ndcg10=found.ndcg10,
            gain=float(over.mean()),
            gain_low=low,
            gain_high=high,
        )
        return row, passages, gains


def measure(
    corpus: Corpus, questions: Sequence[Question], folder: Path, say: Callable[[Sequence[Row]], None]
) -> list[Row]:
    """Make every graph in the folder and judge it: fp32, what ships, then the variants; `say` hears rows so far."""
    tokenizer = read_tokenizer(FOLDER, MAX_INPUT_TOKENS)
    graphs = {name: FOLDER / "onnx" / f"{file}.onnx" for name, file in (("fp32", "fp32"), ("shipped", "int8"))}
    yardstick = Yardstick(tokenizer, corpus, questions)
    first, passages, gains = yardstick.judge("fp32", graphs["fp32"])
    yardstick = replace(yardstick, passages=passages, gains=gains)
    rows = {"fp32": first, "shipped": yardstick.judge("shipped", graphs["shipped"])[0]}
    traced(located(), folder)
    calibration = calibrating(tokenizer, list(corpus.passages.values()), folder / "fp32.onnx", folder)
    for number, (variant, recipe) in enumerate(VARIANTS.items()):
        say(list(rows.values()))
        graph = folder / f"{number:02d}.onnx"
        try:
            recipe.build(graph, calibration)
            unpad(graph)
            rows[variant], graphs[variant] = yardstick.judge(variant, graph)[0], graph
        except Exception as error:  # whatever a library raises: a variant that fails is a row of the table
            rows[variant] = Row(variant, failed=" ".join(f"{type(error).__name__}: {error}".split())[:300])
    say(list(rows.values()))
    speeds = timed(graphs, tokenizer, list(corpus.passages.values()))
    return [replace(row, texts_per_s=speeds.get(name, row.texts_per_s)) for name, row in rows.items()]


def located() -> Located:
    """The model's files, as the catalogue has them."""
    models = catalog.load(ROOT / "models.yaml")
    return models.locate(FOLDER.parent, FOLDER.name, "model.safetensors", precision="fp32", device="cpu")


def calibrating(tokenizer: Tokenizer, passages: Sequence[str], fp32: Path, folder: Path) -> Calibration:
    """What the shipped graph is calibrated on, and evenly spaced passages one by one, all cut to one length."""
    texts = read_squad(ROOT / "bench/datasets/squad-v2-dev.json.gz", every=2, questions=2000)
    mixed, smoothed = calibration_batches(texts, tokenizer), folder / "smoothed.onnx"
    smooth(fp32, smoothed, mixed)
    rows = [encoding.ids for encoding in tokenizer.encode_batch(list(passages))]
    long = [[*ids[: STATIC_TOKENS - 1], ids[-1]] for ids in rows if len(ids) >= STATIC_TOKENS]
    single = [(ids, mask) for _, ids, mask in batches(long[:: len(long) // STATIC_PASSAGES][:STATIC_PASSAGES], 1)]
    return Calibration(mixed, single, {False: fp32, True: smoothed})


def timed(graphs: dict[str, Path], tokenizer: Tokenizer, passages: Sequence[str]) -> dict[str, float]:
    """Texts a second of each graph over the same passages, the best of some rounds; a round takes each in turn."""
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
    """Write the rows as CSV, six digits each; what a failed variant has no figure for stays empty."""
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, [column.name for column in fields(Row)], lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: _cell(value) for name, value in asdict(row).items()})


def _cell(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return "" if np.isnan(value) else f"{value:.6g}"


def table(rows: Sequence[Row], questions: int) -> Table:
    """The rows as they are read: differences in points of 100."""
    made = Table(title=f"int8 of {FOLDER.name} against fp32, SQuAD, {questions:,} questions; speed is rough")
    for heading in ("variant", "MB", "cosine", "least", "hit@1", "nDCG@10", "points over fp32", "texts/s"):
        made.add_column(heading, justify="left" if heading == "variant" else "right", no_wrap=True)
    for row in rows:
        if row.failed:
            made.add_row(row.variant, "failed")
            continue
        made.add_row(
            row.variant,
            f"{row.megabytes:.1f}",
            f"{row.cosine_mean:.4f}",
            f"{row.cosine_min:.4f}",
            f"{row.hit1:.4f}",
            f"{row.ndcg10:.4f}",
            f"{100 * row.gain:+.2f} [{100 * row.gain_low:+.2f}, {100 * row.gain_high:+.2f}]",
            f"{row.texts_per_s:.0f}",
        )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the CSV."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=2_000, help="at most; default: 2000")
    parser.add_argument("--out", type=Path, help="a CSV file; default: under results/")
    options = parser.parse_args(arguments)
    quiet()
    corpus = squad.load()
    questions = served.draw(corpus, options.questions, seed=1)
    file = options.out or served.folder("int8") / "choice.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    console = Console(width=None if sys.stdout.isatty() else 124)
    with (
        tempfile.TemporaryDirectory(prefix="int8-choice-") as folder,
        cores.pinned(cores.available()[-1:]),
    ):  # one thread, on one core
        rows = measure(corpus, questions, Path(folder), partial(write, file))
    write(file, rows)
    console.print(table(rows, len(questions)))
    for row in rows:
        if row.failed:
            console.print(f"{row.variant} failed: {row.failed}", markup=False, highlight=False)
    console.print(f"written: {file}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
