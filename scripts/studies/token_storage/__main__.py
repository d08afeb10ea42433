"""
Measure the size and the search quality of stored token vectors: pooled, pruned, and in fewer bits.

    python -m scripts.studies.token_storage --corpus squad --beir <folder> <folder> --questions 600 --out <folder>

Every corpus is encoded once by the fp32 graph. Every variant is a shard of its own in the engine that gateways embed,
and scores the same candidates. Binary and 1-bit codes are stored beside the vectors they were made from, because the
engine has no setting that keeps the codes alone.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import Progress

from bench import paths
from bench.errors import BenchError
from bench.retrieval.evaluation import interval
from gateways.core.backend import F32
from gateways.core.models.catalog import CatalogError
from scripts.studies.token_storage.plot import make_table, write_plot
from scripts.studies.token_storage.search import (
    F64,
    SearchedCorpus,
    load_model,
    measure_gains,
    prepare,
    prune_and_pool,
)
from scripts.studies.token_storage.shard import build, score, stored_bytes
from scripts.studies.token_storage.variants import (
    BINARY,
    MAX_LOST_POINTS,
    ONE_BIT,
    VARIANTS,
    Row,
    Variant,
    select_smallest,
)


def measure(searched: SearchedCorpus, progress: Progress) -> Iterator[Row]:
    """Yield a row for each variant. UNCOMPRESSED is the first one; the losses of the others are relative to it."""
    task = progress.add_task(f"{searched.corpus.name}: variants", total=len(VARIANTS))
    count = len(searched.corpus.passages)
    uncompressed: F64 | None = None
    for variant in VARIANTS:
        vectors, stored, codes, results = _measure_shard(searched, variant)
        late, fused = measure_gains(searched, [scores for scores, _ in results])
        uncompressed = fused if uncompressed is None else uncompressed
        lost = 100 * (uncompressed - fused)
        low, high = interval(lost)
        yield Row(
            corpus=searched.corpus.name,
            passages=count,
            questions=len(searched.questions),
            **asdict(variant),
            vectors_per_passage=vectors / count,
            stored_kb_per_passage=stored / count / 1000,
            read_kb_per_passage=(codes if variant.codes in (BINARY, ONE_BIT) else stored) / count / 1000,
            scoring_p50_ms=float(np.median([duration_ms for _, duration_ms in results])),
            late_ndcg10=float(late.mean()),
            fused_ndcg10=float(fused.mean()),
            lost_points=float(lost.mean()),
            lost_points_low=low,
            lost_points_high=high,
        )
        progress.advance(task)


def _measure_shard(searched: SearchedCorpus, variant: Variant) -> tuple[int, int, int, list[tuple[F32, float]]]:
    """Return the number of vectors, their bytes, the bytes of codes among these, and (scores, ms) per question."""
    passages = zip(searched.passages.tokens, searched.passages.ids, strict=True)
    prunable_ids = searched.prunable_ids[variant.pruned]
    vectors = [prune_and_pool(rows, ids, prunable_ids, variant.pooled) for rows, ids in passages]
    with tempfile.TemporaryDirectory() as folder:
        shard = build(Path(folder), variant, vectors)
        queries = zip(searched.queries.tokens, searched.candidates, strict=True)
        results = [score(shard, variant, rows.astype(np.float32), candidates) for rows, candidates in queries]
        shard.close()
        return sum(map(len, vectors)), *stored_bytes(Path(folder)), results


def run(names: Sequence[str], max_questions: int, out: Path, console: Console) -> None:
    """Measure every corpus, and write `storage.csv` and `storage.png` into the folder `out`."""
    rows: list[Row] = []
    model = load_model()
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        with Progress(console=console) as progress:
            corpus_rows = list(measure(prepare(model, name, max_questions, progress), progress))
        console.print(make_table(corpus_rows))
        rows += corpus_rows
        frame = pd.DataFrame(map(asdict, rows))
        frame.to_csv(out / "storage.csv", index=False, float_format="%.6g", lineterminator="\n")
    write_plot(out / "storage.png", rows)
    by_maximum, by_mean = select_smallest(rows, max), select_smallest(rows, lambda lost: float(np.mean(lost)))
    console.print(f"smallest within {MAX_LOST_POINTS} points on every corpus: {by_maximum.name}", highlight=False)
    console.print(f"smallest within {MAX_LOST_POINTS} points on their mean: {by_mean.name}", highlight=False)
    console.print(f"written: {out / 'storage.csv'}, storage.png", highlight=False)


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and measure. Without --corpus and --beir the corpus is SQuAD."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", action="append", default=[], help="squad, a BEIR folder or a .jsonl file")
    parser.add_argument("--beir", nargs="+", default=[], metavar="FOLDER", help="BEIR folders")
    parser.add_argument("--questions", type=int, default=600, help="maximum per corpus; default: 600")
    parser.add_argument("--out", type=Path, default=paths.CACHE / "late-storage", help="folder of the results")
    arguments = parser.parse_args(argv)
    try:
        run([*arguments.corpus, *arguments.beir] or ["squad"], arguments.questions, arguments.out, Console())
    except (BenchError, CatalogError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
