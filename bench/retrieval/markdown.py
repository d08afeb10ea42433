"""What was measured of searches as Markdown tables, each in its place in a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from bench import paths
from bench.errors import BenchError
from bench.report import pages

# Of the storage table: what a reader chooses among.
SHOWN_STORAGE = {"none"}


def write(folder: Path, kind: str, into: Path | None) -> None:
    """Print the table of a kind, or put it between its markers; raises BenchError where the folder has none."""
    pages.put(render(folder, kind), kind, into)


def render(folder: Path, kind: str) -> str:
    """The table of a kind and where it comes from; raises BenchError where the folder has none."""
    pattern = "*.csv" if kind == "quality" else f"{kind}.csv"  # the quality of each corpus is a file of its own
    files = sorted(folder.glob(pattern))
    if not files:
        raise BenchError(f"{folder} has no {pattern} to make a table of")
    made = KINDS[kind](pd.concat([pd.read_csv(file) for file in files]))
    file = files[0].resolve()
    place = f"../{file.relative_to(paths.ROOT)}" if file.is_relative_to(paths.ROOT) else file.name
    return "\n".join([*made, "", f"[{file.parent.name}]({place})"]) + "\n"


def _quality(frame: pd.DataFrame) -> list[str]:
    """Every way of every target on every corpus: what it finds, takes and stores."""
    lines = _heads(
        "corpus", "target", "way", "hit@1", "nDCG@10", "over hybrid", "same ten", "p50 ms", "kB a passage", text=3
    )
    for row in frame.to_dict("records"):
        stored = "" if pd.isna(row["stored_kb"]) else f"{row['stored_kb']:.1f}"
        over = f"{row['over_hybrid']:+.3f} [{row['over_hybrid_low']:+.3f}, {row['over_hybrid_high']:+.3f}]"
        found = f"{row['ndcg10']:.3f} [{row['ndcg10_low']:.3f}, {row['ndcg10_high']:.3f}]"
        hit1, p50 = f"{row['hit1']:.3f}", f"{row['p50_ms']:.1f}"
        same = f"{100 * row['same_top10']:.1f} %"
        lines.append(_row(row["corpus"], f"`{row['target']}`", row["way"], hit1, found, over, same, p50, stored))
    return lines


def _fusion(frame: pd.DataFrame) -> list[str]:
    """Every fusion on every corpus, and its mean over them."""
    corpora = list(dict.fromkeys(frame.corpus))
    lines = _heads("fusion", "fitted on", *corpora, "mean", text=2)
    for (fusion, fitted_on), its in frame.fillna("").groupby(["fusion", "fitted_on"], sort=False):
        found: Mapping[str, float] = dict(zip(its.corpus, its.ndcg10, strict=True))
        lines.append(_row(fusion, fitted_on, *(f"{found[name]:.3f}" for name in corpora), f"{its.ndcg10.mean():.3f}"))
    return lines


def _storage(frame: pd.DataFrame) -> list[str]:
    """What keeping the tokens of a passage costs and loses, by how many share a vector and by its bits."""
    corpora = list(dict.fromkeys(frame.corpus))
    lines = _heads("kept as", "tokens a vector", *(f"{name}: kB · ms · points lost" for name in corpora), text=1)
    plain = frame[frame.codes.isin(SHOWN_STORAGE)]
    for (datatype, pooled, pruned), its in plain.groupby(["datatype", "pooled", "pruned"], sort=False):
        cells = {
            row[
                "corpus"
            ]: f"{row['stored_kb_per_passage']:.0f} · {row['scoring_p50_ms']:.2f} · {row['lost_points']:.2f}"
            for row in its.to_dict("records")
        }
        kept = datatype if pruned == "nothing" else f"{datatype}, no {pruned}"
        lines.append(_row(kept, str(pooled), *(cells.get(name, "") for name in corpora)))
    return lines


KINDS: Mapping[str, Callable[[pd.DataFrame], list[str]]] = {
    "quality": _quality,
    "fusion": _fusion,
    "storage": _storage,
}


def _heads(*names: str, text: int) -> list[str]:
    """The first two lines of a table whose first columns are text."""
    return [_row(*names), _row(*(["---"] * text), *(["---:"] * (len(names) - text)))]


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"
