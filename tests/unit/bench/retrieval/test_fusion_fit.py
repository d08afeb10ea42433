"""`bench fusion`: the fit recovers known weights, and the command runs on a small corpus."""

from __future__ import annotations

import csv
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bench.__main__ import main
from bench.datasets import Question
from bench.retrieval import fusion_fit
from bench.retrieval.fusion_fit import KINDS, Candidates

TRUE = np.array([3.0, 0.5, 6.0])
BIAS = -5.0


def draw_corpus(seed: int, questions: int = 300, each: int = 30) -> list[Candidates]:
    """Return questions whose candidates answer with the probability given by TRUE and BIAS."""
    draw = np.random.default_rng(seed)
    made = []
    for n in range(questions):
        scores = draw.uniform(size=(each, 3)) * (1.0, 10.0, 1.0)
        answers = draw.uniform(size=each) < 1 / (1 + np.exp(-(BIAS + scores @ TRUE)))
        ids = [f"{n}-{at}" for at in range(each)]
        relevant = {name: 1 for name, answer in zip(ids, answers, strict=True) if answer}
        ranks = np.stack([1 + np.argsort(np.argsort(-scores[:, column])) for column in (0, 1)], axis=1)
        made.append(Candidates(Question(f"q{n}", relevant), ids, ranks.astype(float), scores))
    return made


def test_the_weights_that_answers_were_drawn_by_are_found() -> None:
    """The fit recovers direction, scale and bias from two corpora of different sizes."""
    weights = fusion_fit.fit([draw_corpus(1), draw_corpus(2, questions=150)], KINDS)

    assert [weights.by_kind[kind] for kind in KINDS] == pytest.approx(TRUE, rel=0.15)
    assert weights.bias == pytest.approx(BIAS, rel=0.15)


def test_a_kind_that_is_left_out_weighs_nothing() -> None:
    """A kind that is left out has weight 0, and the ranking is worse without it."""
    corpus = draw_corpus(3)
    all_kinds, two_kinds = fusion_fit.fit([corpus], KINDS), fusion_fit.fit([corpus], ("dense", "sparse"))

    assert two_kinds.by_kind["late"] == 0
    assert fusion_fit.ndcg10(corpus, two_kinds.order) < fusion_fit.ndcg10(corpus, all_kinds.order)


def test_ranks_are_fused_with_their_constant() -> None:
    """The constant decides between ranks 1 and 4 and ranks 2 and 2; a missing rank counts nothing."""
    candidates = Candidates(
        Question("q", {"a": 1}), ["b", "a", "c"], np.array([[2, 2], [1, 4], [3, np.inf]], float), np.zeros((3, 3))
    )

    assert fusion_fit.reciprocal_ranks(candidates, 1) == ["a", "b", "c"]
    assert fusion_fit.reciprocal_ranks(candidates, 60) == ["b", "a", "c"]
    assert fusion_fit.ndcg10([candidates], partial(fusion_fit.reciprocal_ranks, constant=1)) == 1


def test_the_command_fits_what_a_real_gateway_answers(tmp_path: Path) -> None:
    """On two small corpora the command writes a table of every fusion, and weights of every combination."""
    texts = {"a": "tomatoes want sun and water", "b": "the pump shows a red light", "c": "twenty days of vacation"}
    questions = {"q1": ("red light of the pump", "b"), "q2": ("days of vacation", "c")}
    for name in ("one", "two"):
        folder = tmp_path / name
        (folder / "qrels").mkdir(parents=True)
        passages = [{"_id": key, "text": text} for key, text in texts.items()]
        (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, passages)))
        queries = [{"_id": key, "text": text} for key, (text, _) in questions.items()]
        (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)))
        answers = "".join(f"{key}\t{answer}\t1\n" for key, (_, answer) in questions.items())
        (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{answers}")
    out = tmp_path / "out"
    words = ["fusion", str(tmp_path / "one"), str(tmp_path / "two"), "--gateway", "pseudo", "--out", str(out)]

    assert main(words) == 0

    rows = list(csv.DictReader((out / "fusion.csv").read_text().splitlines()))
    assert {row["corpus"] for row in rows} == {"one", "two"}
    assert {row["fitted_on"] for row in rows} == {"", "all", "the others"}
    assert all(float(row["ndcg10"]) == 1 for row in rows if row["fusion"].startswith("rrf"))
    chosen = json.loads((out / "weights.json").read_text())
    assert chosen["rrf_k"] in fusion_fit.CONSTANTS
    assert set(chosen["weights"]) == {"dense+sparse", "dense+late", "dense+sparse+late"}
