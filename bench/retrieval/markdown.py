"""Markdown tables of retrieval studies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from bench.errors import BenchError
from bench.report.tables import marked_block

# The code layouts shown in the storage table: those that a reader may choose.
SHOWN_STORAGE = {"none"}


def write(folder: Path, kind: str, into: Path | None) -> None:
    """Print the table of a kind, or write it between its markers. Raises BenchError without such data."""
    marked_block.put(render(folder, kind), kind, into)


def render(folder: Path, kind: str) -> str:
    """Return the table of a kind and a link to its data. Raises BenchError if the folder has no such data."""
    pattern = "*.csv" if kind == "quality" else f"{kind}.csv"  # quality has one file per corpus
    files = sorted(folder.glob(pattern))
    if not files:
        raise BenchError(f"{folder} has no {pattern} for a table")
    lines = KINDS[kind](pd.concat([pd.read_csv(file) for file in files]))
    return "\n".join([*lines, "", marked_block.source_link(files[0])]) + "\n"


def _render_quality(frame: pd.DataFrame) -> list[str]:
    """Return a line per corpus, target and mode: quality, latency and storage."""
    lines = _heads(
        "corpus", "target", "way", "hit@1", "nDCG@10", "over hybrid", "same ten", "p50 ms", "kB a passage", text=3
    )
    for row in frame.to_dict("records"):
        stored = "" if pd.isna(row["stored_kb"]) else f"{row['stored_kb']:.1f}"
        over = f"{row['over_hybrid']:+.3f} [{row['over_hybrid_low']:+.3f}, {row['over_hybrid_high']:+.3f}]"
        ndcg10 = f"{row['ndcg10']:.3f} [{row['ndcg10_low']:.3f}, {row['ndcg10_high']:.3f}]"
        hit1, p50 = f"{row['hit1']:.3f}", f"{row['p50_ms']:.1f}"
        same = f"{100 * row['same_top10']:.1f} %"
        lines.append(_row(row["corpus"], f"`{row['target']}`", row["way"], hit1, ndcg10, over, same, p50, stored))
    return lines


def _render_fusion(frame: pd.DataFrame) -> list[str]:
    """Return a line per fusion: nDCG@10 on every corpus, and the mean."""
    corpora = list(dict.fromkeys(frame.corpus))
    lines = _heads("fusion", "fitted on", *corpora, "mean", text=2)
    for (fusion, fitted_on), group in frame.fillna("").groupby(["fusion", "fitted_on"], sort=False):
        ndcg10: Mapping[str, float] = dict(zip(group.corpus, group.ndcg10, strict=True))
        values = [ndcg10[name] for name in corpora]
        lines.append(_row(fusion, fitted_on, *(f"{value:.3f}" for value in [*values, group.ndcg10.mean()])))
    return lines


def _render_storage(frame: pd.DataFrame) -> list[str]:
    """Return a line per storage format of token vectors: size, scoring time and lost quality on every corpus."""
    corpora = list(dict.fromkeys(frame.corpus))
    lines = _heads("kept as", "tokens a vector", *(f"{name}: kB · ms · points lost" for name in corpora), text=1)
    plain = frame[frame.codes.isin(SHOWN_STORAGE)]
    for (datatype, pooled, pruned), group in plain.groupby(["datatype", "pooled", "pruned"], sort=False):
        cells = {
            row[
                "corpus"
            ]: f"{row['stored_kb_per_passage']:.0f} · {row['scoring_p50_ms']:.2f} · {row['lost_points']:.2f}"
            for row in group.to_dict("records")
        }
        kept = datatype if pruned == "nothing" else f"{datatype}, no {pruned}"
        lines.append(_row(kept, str(pooled), *(cells.get(name, "") for name in corpora)))
    return lines


KINDS: Mapping[str, Callable[[pd.DataFrame], list[str]]] = {
    "quality": _render_quality,
    "fusion": _render_fusion,
    "storage": _render_storage,
}


def _heads(*names: str, text: int) -> list[str]:
    """Return the header and the alignment line of a table whose first `text` columns are text."""
    return [_row(*names), _row(*(["---"] * text), *(["---:"] * (len(names) - text)))]


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"
