"""`scripts/late_storage.py`: what it keeps of a text, what it compares, and all of it on a tiny BEIR folder."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import paths
from bench.datasets import Corpus, Question
from gateways.core import bm25
from gateways.core.fusion import RRF_K
from gateways.core.vectors import normalize

# By name: mypy knows the files of scripts/ as modules of their own, as the scripts themselves do.
script: Any = import_module("scripts.late_storage")

exported = pytest.mark.skipif(
    not (paths.model_dir() / "onnx" / "fp32.onnx").exists(), reason=f"{paths.MODEL} is not exported"
)
PASSAGES = {
    "tea": "Boil the water, then pour it over the tea leaves.",
    "pump": "The pump moves water from the well to the house.",
    "boiler": "A boiler heats the house; its valve opens at 3 bar.",
    "marks": "?!",
}


def kept(ids: list[int], dropped: list[int], pooled: int) -> list[list[float]]:
    """Return what is stored of a text whose n-th token has the direction of the n-th of these, in turn x and y."""
    rows = np.array([[1, 0], [0, 1], [1, 0], [1, 0], [0, 1]], np.float16)[: len(ids)]
    found: list[list[float]] = (
        script.reduced(rows, np.array(ids), np.array(dropped), pooled).astype(float).round(4).tolist()
    )
    return found


def test_neighbours_share_the_direction_between_them() -> None:
    """Two and two, the odd one alone; of one there is nothing to share."""
    between = round(math.sqrt(0.5), 4)

    assert kept([1, 2, 3, 4, 5], [], 1) == [[1, 0], [0, 1], [1, 0], [1, 0], [0, 1]]
    assert kept([1, 2, 3, 4, 5], [], 2) == [[between, between], [1, 0], [0, 1]]
    assert kept([1, 2, 3], [], 4) == [[round(2 / math.sqrt(5), 4), round(1 / math.sqrt(5), 4)]]


def test_tokens_are_left_out_before_neighbours_pool() -> None:
    """Those left are neighbours then; a text of nothing else keeps all of its tokens."""
    assert kept([1, 9, 3, 4, 9], [9], 1) == [[1, 0], [1, 0], [1, 0]]
    assert kept([1, 9, 3, 4, 9], [9], 2) == [[1, 0], [1, 0]]
    assert kept([9, 9], [9], 1) == [[1, 0], [0, 1]]


def test_two_rankings_are_fused_by_reciprocal_ranks() -> None:
    """A passage counts 1 / (k + rank) in each ranking, and none in that by words where it has no word."""
    dense = np.array([0.9, 0.8, 0.7, 0.1], np.float32)
    sparse = np.array([0.0, 2.0, 0.0, 5.0], np.float32)
    k = RRF_K
    worth = [1 / (k + 1), 1 / (k + 2) + 1 / (k + 2), 1 / (k + 3), 1 / (k + 4) + 1 / (k + 1)]

    found = script.candidates(dense, sparse).tolist()

    assert found == sorted(range(4), key=lambda i: -worth[i])


def test_no_more_candidates_than_a_gateway_reranks() -> None:
    """The first of a long ranking, in its order."""
    dense = -np.arange(500, dtype=np.float32)

    found = script.candidates(dense, np.zeros(500, np.float32))

    assert found.tolist() == list(range(script.CANDIDATES))


def test_words_weigh_as_in_the_store() -> None:
    """The gateways' own weights of a passage's words, each times the IDF that Qdrant's documentation gives."""
    passages = ["red pump", "blue pump", "blue blue boiler"]
    [weight_of_pump, _] = bm25.embed(["pump red"], query=False).rows[0].values
    rare, common = math.log((3 - 1 + 0.5) / (1 + 0.5) + 1), math.log((3 - 2 + 0.5) / (2 + 0.5) + 1)

    scores = script.sparse_scores(["pump", "red pumps", "valve"], passages)

    assert scores[0] == pytest.approx([weight_of_pump * common, weight_of_pump * common, 0])
    assert scores[1] == pytest.approx([weight_of_pump * (rare + common), weight_of_pump * common, 0])
    assert scores[2].tolist() == [0, 0, 0]


def test_binary_scores_are_read_as_cosines() -> None:
    """All signs agree: 1; half of them: 0; a quarter differs, so the angle is 45 degrees."""
    found = script.cosines(np.array([16.0, 0.0, 8.0], np.float32), 2, 8)

    assert found == pytest.approx([1, 0, math.sqrt(0.5)], abs=1e-6)


@pytest.mark.parametrize(
    ("variant", "off"),
    [
        (script.Variant(1, "Float16"), 1e-3),
        (script.Variant(1, "Turbo8"), 5e-3),
        (script.Variant(1, "Turbo4"), 5e-2),
        (script.Variant(1, "Turbo8", codes=script.RESCORED), 5e-3),
        (script.Variant(1, "Turbo8", codes=script.ONE_BIT), 0.4),
    ],
)
def test_the_engine_scores_by_the_greatest_cosines(tmp_path: Path, variant: Any, off: float) -> None:
    """The mean over the question's tokens, in the order of the candidates, however the vectors are kept."""
    rng = np.random.default_rng(3)
    question, *passages = (normalize(rng.normal(size=(n, 64)).astype(np.float32)) for n in (5, 9, 1, 30))
    exact = [(question @ rows.T).max(axis=1).mean() for rows in passages]
    shard = script.build(tmp_path, variant, passages)

    scores, took_ms = script.score(shard, variant, question, np.array([2, 0, 1]))
    shard.close()

    assert scores == pytest.approx([exact[2], exact[0], exact[1]], abs=off)
    assert took_ms > 0


def test_binary_codes_are_signs_beside_the_vectors(tmp_path: Path) -> None:
    """The score is made of signs alone; on disk the codes come on top of what they were made of."""
    rng = np.random.default_rng(4)
    question, passage = (normalize(rng.normal(size=(n, 64)).astype(np.float32)) for n in (3, 40))
    agreeing = (np.sign(question) @ np.sign(passage).T).max(axis=1).sum()
    plain, binary = script.Variant(1, "Turbo8"), script.Variant(1, "Turbo8", codes=script.BINARY)
    script.build(tmp_path / "plain", plain, [passage] * 400).close()
    shard = script.build(tmp_path / "binary", binary, [passage] * 400)

    scores, _ = script.score(shard, binary, question, np.array([7]))
    shard.close()

    assert scores == pytest.approx([math.sin(math.pi / 2 * agreeing / (3 * 64))], abs=1e-5)
    (without, none), (stored, codes) = (script.stored_bytes(tmp_path / name) for name in ("plain", "binary"))
    assert none == 0
    assert codes >= 400 * 40 * 64 / 8
    assert stored == without + codes


def test_fewer_bits_take_less_room(tmp_path: Path) -> None:
    """Two bytes a dimension, one, a half, and little beside them."""
    vectors = [normalize(np.random.default_rng(n).normal(size=(50, 64)).astype(np.float32)) for n in range(300)]
    sizes = []
    for datatype in ("Float16", "Turbo8", "Turbo4"):
        script.build(tmp_path / datatype, script.Variant(1, datatype), vectors).close()
        sizes.append(script.stored_bytes(tmp_path / datatype)[0] / (300 * 50 * 64))

    assert sizes == pytest.approx([2, 1, 0.5], rel=0.25)


def rows(**lost: tuple[float, float]) -> list[Any]:
    """Return rows of two corpora for variants pooled as `p<number>`, larger where less is pooled."""
    zeros = dict.fromkeys((field.name for field in dataclasses.fields(script.Row)), 0.0)
    return [
        script.Row(
            **zeros
            | {"corpus": corpus, "pooled": int(name[1:]), "datatype": "Turbo8", "pruned": "", "codes": ""}
            | {"stored_kb_per_passage": 100 / int(name[1:]), "lost_points": points}
        )
        for corpus, at in (("a", 0), ("b", 1))
        for name, points in ((name, both[at]) for name, both in lost.items())
    ]


def test_the_smallest_is_chosen_among_those_that_lose_little() -> None:
    """On every corpus, or on their mean, which lets a gain make up for a loss."""
    made = rows(p1=(0.0, 0.0), p2=(0.5, 0.2), p3=(0.8, 0.1), p4=(0.9, 0.3))

    assert script.smallest(made, max).pooled == 2
    assert script.smallest(made, np.mean).pooled == 3


@exported
def test_punctuation_and_what_is_common_is_dropped() -> None:
    """Punctuation by what a token is written as; the common ones are the most frequent of the rest."""
    passages = {"a": "Water, water: water! Is it tea?", "b": "Water is tea."}
    corpus = Corpus.of("tiny", passages, [Question("tea", {"b": 1})], [])
    model = script.load_model()
    encoded = script.encode(model, list(passages.values()), "document", lambda done: None)

    dropped = script.droppable(model, corpus, encoded)

    words = {token.text: token.id for row in model.texts.tokens(list(passages.values())) for token in row}
    assert [len(ids) for ids in encoded.ids] == [len(rows) for rows in encoded.tokens] == [10, 4]
    assert {words[mark] for mark in ",:!?."} <= set(dropped[script.PUNCTUATION].tolist())
    assert words["water"] not in dropped[script.PUNCTUATION]
    assert words["water"] in dropped[script.COMMONEST]
    assert dropped[script.NOTHING].size == 0


@exported
def test_the_script_measures_a_corpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A row for every variant, the uncompressed one losing nothing; a table, a plot and a choice."""
    folder = tmp_path / "tiny"
    (folder / "qrels").mkdir(parents=True)
    lines = [json.dumps({"_id": key, "title": "", "text": text}) for key, text in PASSAGES.items()]
    (folder / "corpus.jsonl").write_text("\n".join(lines))
    asked = {"1": ("What moves the water?", "pump"), "2": ("How hot is the house?", "boiler")}
    (folder / "queries.jsonl").write_text(
        "\n".join(json.dumps({"_id": key, "text": text}) for key, (text, _) in asked.items())
    )
    judged = "".join(f"{key}\t{answer}\t1\n" for key, (_, answer) in asked.items())
    (folder / "qrels" / "test.tsv").write_text(f"query\tpassage\tgrade\n{judged}")

    script.main(["--beir", str(folder), "--out", str(tmp_path / "out")])

    with (tmp_path / "out" / "storage.csv").open(newline="") as stream:
        made = list(csv.DictReader(stream))
    assert len(made) == len(script.VARIANTS)
    assert {row["corpus"] for row in made} == {"tiny"}
    assert made[0]["datatype"] == "Float16"
    assert float(made[0]["lost_points"]) == 0
    assert all(0 < float(row["fused_ndcg10"]) <= 1 and float(row["stored_kb_per_passage"]) > 0 for row in made)
    assert (tmp_path / "out" / "storage.png").read_bytes().startswith(b"\x89PNG")
    assert "within 0.5 points on every corpus" in capsys.readouterr().out


def test_a_folder_that_is_no_corpus_ends_it(tmp_path: Path) -> None:
    """The message says what a corpus needs."""
    with pytest.raises(SystemExit, match="BEIR"):
        script.main(["--beir", str(tmp_path), "--out", str(tmp_path / "out")])
