"""
`python -m bench fusion`: what `gateways/core/fusion.py` should hold, and what each choice is worth on every corpus.

Every corpus is also judged by the weights that the *others* give: what a corpus not seen here may expect.
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
from bench.retrieval import fitting, served
from bench.retrieval.fitting import Candidates, Weights
from bench.targets import Target

# By corpus, what was asked of it.
Asked = Mapping[str, Sequence[Candidates]]


@dataclass(frozen=True)
class Row:
    """One fusion on one corpus; `fitted_on` says whose answers chose its weights, nothing where there are none."""

    corpus: str
    questions: int
    fusion: str
    fitted_on: str
    ndcg10: float


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Ask a gateway about each corpus, write `fusion.csv` and `weights.json`, print both."""
    [target] = targets.choose([arguments.gateway], False)
    asked: dict[str, Sequence[Candidates]] = {}
    with Progress(console=console) as progress:
        for name in arguments.corpora:
            corpus = datasets.load(name)
            asked[corpus.name] = _ask(target, corpus, arguments, progress)
    made = _by_ranks(asked)
    constant = _best_constant(made)
    judged = {name: [fitting.judged(its, constant) for its in corpus] for name, corpus in asked.items()}
    weights = {"+".join(kinds): fitting.fit(list(judged.values()), kinds) for kinds in fitting.COMBINATIONS}
    made += [row for kinds in fitting.COMBINATIONS for row in _by_scores(judged, kinds, weights["+".join(kinds)])]
    folder = Path(arguments.out) if arguments.out else served.folder("fusion")
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder, made, constant, weights)
    console.print(_table(made))
    console.print(f"RRF_K = {constant}", *(f"{name}: {_said(its)}" for name, its in weights.items()), sep="\n")
    console.print(f"written: {folder}", highlight=False)
    return 0


def _ask(target: Target, corpus: Corpus, arguments: argparse.Namespace, progress: Progress) -> list[Candidates]:
    questions = served.draw(corpus, arguments.questions, arguments.seed)
    with served.ingested(target, corpus, progress) as (api, _):
        say = served.bar(progress, f"{target.name} answers", len(questions))
        found = []
        for done, question in enumerate(questions, 1):
            found.append(fitting.ask(api, question))
            say(done)
    return found


def _by_ranks(asked: Asked) -> list[Row]:
    return [
        Row(name, len(its), f"rrf {k}", "", fitting.ndcg10(its, partial(fitting.reciprocal_ranks, constant=k)))
        for k in fitting.CONSTANTS
        for name, its in asked.items()
    ]


def _best_constant(made: Sequence[Row]) -> int:
    """The constant under which the mean over the corpora is best."""
    return max(fitting.CONSTANTS, key=lambda k: sum(row.ndcg10 for row in made if row.fusion == f"rrf {k}"))


def _by_scores(judged: Asked, kinds: Sequence[str], of_all: Weights) -> list[Row]:
    """The weights of all corpora, and those of all others, on each one."""
    rows = []
    for name, its in judged.items():
        others = [corpus for other, corpus in judged.items() if other != name]
        fits = {"all": of_all} | ({"the others": fitting.fit(others, kinds)} if others else {})
        for fitted_on, weights in fits.items():
            found = fitting.ndcg10(its, weights.order)
            rows.append(Row(name, len(its), "+".join(kinds), fitted_on, found))
    return rows


def _write(folder: Path, made: Sequence[Row], constant: int, weights: Mapping[str, Weights]) -> None:
    with (folder / "fusion.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(asdict(made[0])), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) | {"ndcg10": f"{row.ndcg10:.6g}"} for row in made)
    chosen = {"rrf_k": constant, "weights": {name: asdict(its) for name, its in weights.items()}}
    (folder / "weights.json").write_text(json.dumps(chosen, indent=2) + "\n")


def _table(made: Sequence[Row]) -> Table:
    corpora = list(dict.fromkeys(row.corpus for row in made))
    table = Table(title="nDCG@10 by fusion")
    for heading in ("fusion", "fitted on", *corpora, "mean"):
        table.add_column(heading, justify="left" if heading.startswith("f") else "right")
    for fusion, fitted_on in dict.fromkeys((row.fusion, row.fitted_on) for row in made):
        found = {row.corpus: row.ndcg10 for row in made if (row.fusion, row.fitted_on) == (fusion, fitted_on)}
        mean = sum(found.values()) / len(found)
        table.add_row(fusion, fitted_on, *(f"{found[name]:.3f}" for name in corpora), f"{mean:.3f}")
    return table


def _said(weights: Weights) -> str:
    return ", ".join(
        f"{name} {value:.4g}" for name, value in {"bias": weights.bias, **weights.by_kind}.items() if value
    )
