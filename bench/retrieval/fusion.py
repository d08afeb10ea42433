"""
`python -m bench fusion`: the weights of `gateways/core/scoring/fusion.py`, and the nDCG@10 of each fusion.

Every corpus is also evaluated with weights fitted on the other corpora only, which estimates the quality on an unseen
corpus.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench import datasets, targets
from bench.datasets import Corpus
from bench.retrieval import fusion_fit, gateway
from bench.retrieval.fusion_fit import Candidates, Weights
from bench.targets import Target

# The candidates of each question, by corpus.
CorpusCandidates = Mapping[str, Sequence[Candidates]]


@dataclass(frozen=True)
class Row:
    """One fusion on one corpus. `fitted_on` names the corpora of its weights; "" for a fusion of ranks."""

    corpus: str
    questions: int
    fusion: str
    fitted_on: str
    ndcg10: float


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Search each corpus with a gateway; write and print `fusion.csv` and `weights.json`."""
    [target] = targets.choose([arguments.gateway], False)
    retrieved: dict[str, Sequence[Candidates]] = {}
    with Progress(console=console) as progress:
        for name in arguments.corpora:
            corpus = datasets.load(name)
            retrieved[corpus.name] = _retrieve(target, corpus, arguments, progress)
    rows = _evaluate_ranks(retrieved)
    constant = _choose_constant(rows)
    top = {
        name: [fusion_fit.keep_top(candidates, constant) for candidates in corpus]
        for name, corpus in retrieved.items()
    }
    weights = {"+".join(kinds): fusion_fit.fit(list(top.values()), kinds) for kinds in fusion_fit.COMBINATIONS}
    rows += [
        row for kinds in fusion_fit.COMBINATIONS for row in _evaluate_scores(top, kinds, weights["+".join(kinds)])
    ]
    folder = Path(arguments.out) if arguments.out else gateway.folder("fusion")
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder, rows, constant, weights)
    console.print(_render_table(rows))
    console.print(
        f"RRF_K = {constant}", *(f"{name}: {_render_weights(fitted)}" for name, fitted in weights.items()), sep="\n"
    )
    console.print(f"written: {folder}", highlight=False)
    return 0


def _retrieve(target: Target, corpus: Corpus, arguments: argparse.Namespace, progress: Progress) -> list[Candidates]:
    questions = gateway.draw_questions(corpus, arguments.questions, arguments.seed)
    with gateway.ingested(target, corpus, progress) as (api, _):
        advance = gateway.add_bar(progress, f"{target.name} answers", len(questions))
        candidates = []
        for done, question in enumerate(questions, 1):
            candidates.append(fusion_fit.retrieve(api, question))
            advance(done)
    return candidates


def _evaluate_ranks(retrieved: CorpusCandidates) -> list[Row]:
    """Return a row per corpus and constant of reciprocal rank fusion."""
    rows = []
    for k in fusion_fit.CONSTANTS:
        order = partial(fusion_fit.reciprocal_ranks, constant=k)
        rows += [
            Row(name, len(corpus), f"rrf {k}", "", fusion_fit.ndcg10(corpus, order))
            for name, corpus in retrieved.items()
        ]
    return rows


def _choose_constant(rows: Sequence[Row]) -> int:
    """Return the constant with the best mean nDCG@10 over the corpora."""
    return max(fusion_fit.CONSTANTS, key=lambda k: sum(row.ndcg10 for row in rows if row.fusion == f"rrf {k}"))


def _evaluate_scores(top: CorpusCandidates, kinds: Sequence[str], fit_on_all: Weights) -> list[Row]:
    """Return two rows per corpus: with the weights of all corpora, and with those of the other corpora."""
    rows = []
    for name, corpus in top.items():
        rest = [candidates for other, candidates in top.items() if other != name]
        fits = {"all": fit_on_all} | ({"the others": fusion_fit.fit(rest, kinds)} if rest else {})
        for fitted_on, weights in fits.items():
            ndcg10 = fusion_fit.ndcg10(corpus, weights.order)
            rows.append(Row(name, len(corpus), "+".join(kinds), fitted_on, ndcg10))
    return rows


def _write(folder: Path, rows: Sequence[Row], constant: int, weights: Mapping[str, Weights]) -> None:
    with (folder / "fusion.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(asdict(rows[0])), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) | {"ndcg10": f"{row.ndcg10:.6g}"} for row in rows)
    fitted_weights = {"rrf_k": constant, "weights": {name: asdict(fitted) for name, fitted in weights.items()}}
    (folder / "weights.json").write_text(json.dumps(fitted_weights, indent=2) + "\n")


def _render_table(rows: Sequence[Row]) -> Table:
    corpora = list(dict.fromkeys(row.corpus for row in rows))
    table = Table(title="nDCG@10 by fusion")
    for heading in ("fusion", "fitted on", *corpora, "mean"):
        table.add_column(heading, justify="left" if heading.startswith("f") else "right")
    for fusion, fitted_on in dict.fromkeys((row.fusion, row.fitted_on) for row in rows):
        ndcg10 = {row.corpus: row.ndcg10 for row in rows if (row.fusion, row.fitted_on) == (fusion, fitted_on)}
        mean = sum(ndcg10.values()) / len(ndcg10)
        table.add_row(fusion, fitted_on, *(f"{ndcg10[name]:.3f}" for name in corpora), f"{mean:.3f}")
    return table


def _render_weights(weights: Weights) -> str:
    return ", ".join(
        f"{name} {value:.4g}" for name, value in {"bias": weights.bias, **weights.by_kind}.items() if value
    )
