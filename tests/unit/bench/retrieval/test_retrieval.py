"""`bench quality`: its figures from rankings, and the command on a small corpus."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from bench.__main__ import main
from bench.datasets import Question
from bench.retrieval import evaluation, plot
from bench.retrieval.search_modes import Answers

QUESTIONS = [Question(f"question {n}", {f"p{n}": 1}) for n in range(40)]


def ranked(place: int) -> list[list[str]]:
    """Return ten passages per question, with the answer at a rank counted from 1, or nowhere for 0."""
    return [[f"p{n}" if at == place else f"other {at}" for at in range(1, 11)] for n in range(len(QUESTIONS))]


def made(**places: int) -> dict[str, evaluation.Row]:
    """Return the rows of modes whose answer is always at one rank."""
    answers = {name: Answers(ranked(place), [float(place + 1)] * len(QUESTIONS)) for name, place in places.items()}
    target_answers = evaluation.TargetAnswers("t", "fp32", answers, dict.fromkeys(places, 1.5))
    rows = evaluation.evaluate("tiny", QUESTIONS, target_answers, target_answers)
    return {row.way: row for row in rows}


def test_the_place_of_the_answer_makes_every_figure() -> None:
    """Rank 2 gives no hit@1, a hit@5, MRR 1/2 and nDCG 1 / log2(3); no answer gives 0."""
    rows = made(dense=2, hybrid=1, sparse=0)

    assert (rows["dense"].hit1, rows["dense"].hit5, rows["dense"].mrr10) == (0, 1, 0.5)
    assert rows["dense"].ndcg10 == pytest.approx(1 / np.log2(3))
    assert (rows["hybrid"].hit1, rows["hybrid"].mrr10, rows["hybrid"].ndcg10) == (1, 1, 1)
    assert (rows["sparse"].hit5, rows["sparse"].mrr10, rows["sparse"].ndcg10) == (0, 0, 0)
    assert rows["dense"].added_p50_ms == 0
    assert rows["hybrid"].added_p50_ms == -1


def test_the_difference_is_of_the_same_questions() -> None:
    """If every question differs by the same amount, the paired interval has no width."""
    rows = made(dense=2, hybrid=1)

    assert rows["hybrid"].over_hybrid == rows["hybrid"].over_hybrid_low == rows["hybrid"].over_hybrid_high == 0
    assert rows["dense"].over_hybrid == pytest.approx(1 / np.log2(3) - 1)
    assert rows["dense"].over_hybrid_low == pytest.approx(rows["dense"].over_hybrid_high)


def test_equal_rankings_are_counted() -> None:
    """The share of questions with the same ten passages in the same order, per mode."""
    answers = {name: Answers(ranked(1), [1.0] * len(QUESTIONS)) for name in ("dense", "hybrid")}
    other = {
        "dense": Answers([*ranked(1)[:30], *ranked(2)[30:]], [1.0] * len(QUESTIONS)),
        "hybrid": answers["hybrid"],
    }
    first, second = (evaluation.TargetAnswers("t", "fp32", by_mode, {}) for by_mode in (answers, other))

    assert [row.same_top10 for row in evaluation.evaluate("tiny", QUESTIONS, second, first)] == [0.75, 1.0]


def test_an_interval_holds_the_mean_and_shrinks_with_questions() -> None:
    """The interval of a mean of zeros and ones is about 1.96 standard errors to both sides."""
    values = np.array([0.0, 1.0] * 200)

    low, high = evaluation.interval(values)

    assert low == pytest.approx(0.5 - 1.96 * 0.5 / 20, abs=0.01)
    assert high == pytest.approx(0.5 + 1.96 * 0.5 / 20, abs=0.01)


def test_the_command_asks_a_real_gateway_every_way(tmp_path: Path) -> None:
    """On three passages, each mode finds the one that shares words with the question."""
    texts = {"a": "tomatoes want sun and water", "b": "the pump shows a red light", "c": "twenty days of vacation"}
    folder = tmp_path / "tiny"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text("".join(json.dumps({"_id": k, "text": t}) + "\n" for k, t in texts.items()))
    questions = {"q1": ("red light of the pump", "b"), "q2": ("days of vacation", "c")}
    (folder / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": key, "text": text}) + "\n" for key, (text, _) in questions.items())
    )
    (folder / "qrels" / "test.tsv").write_text(
        "query-id\tcorpus-id\tscore\n" + "".join(f"{key}\t{answer}\t1\n" for key, (_, answer) in questions.items())
    )
    out = tmp_path / "quality.csv"

    assert main(["quality", "--beir", str(folder), "--gateway", "pseudo", "--out", str(out)]) == 0

    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["way"] for row in rows] == ["dense", "sparse", "hybrid", "hybrid + late"]
    assert {row["hit1"] for row in rows} == {"1"}
    stored = {row["way"]: float(row["stored_kb"]) for row in rows}
    assert stored["dense"] > 0
    assert stored["hybrid + late"] > stored["hybrid"] == pytest.approx(stored["dense"] + stored["sparse"])
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_the_plot_names_every_way() -> None:
    """The legend has every mode and every target."""
    figure = plot.figure(list(made(dense=2, hybrid=1, sparse=0).values()))

    assert {text.get_text() for text in figure.legends[0].get_texts()} == {"dense", "hybrid", "sparse", "t"}
