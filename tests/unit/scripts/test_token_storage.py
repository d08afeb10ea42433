"""The study of stored token vectors: pruning, pooling, scores of the engine, and a run on a tiny BEIR folder."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import paths
from bench.datasets import Corpus, Question
from gateways.core.scoring import bm25
from gateways.core.scoring.fusion import RRF_K
from gateways.core.scoring.vectors import normalize
from scripts.studies.token_storage import __main__ as study
from scripts.studies.token_storage import search, shard, variants
from scripts.studies.token_storage.variants import Row, Variant

exported = pytest.mark.skipif(
    not (paths.model_dir() / "onnx" / "fp32.onnx").exists(), reason=f"{paths.MODEL} is not exported"
)
PASSAGES = {
    "tea": "Boil the water, then pour it over the tea leaves.",
    "pump": "The pump moves water from the well to the house.",
    "boiler": "A boiler heats the house; its valve opens at 3 bar.",
    "marks": "?!",
}


def reduce_text(ids: list[int], prunable_ids: list[int], pooled: int) -> list[list[float]]:
    """Return the stored vectors of a text of up to five tokens, each of them along the x or the y axis."""
    rows = np.array([[1, 0], [0, 1], [1, 0], [1, 0], [0, 1]], np.float16)[: len(ids)]
    vectors = search.prune_and_pool(rows, np.array(ids, np.intp), np.array(prunable_ids, np.intp), pooled)
    reduced: list[list[float]] = vectors.astype(float).round(4).tolist()
    return reduced


def test_neighbours_share_the_direction_between_them() -> None:
    """Pooling 2 makes a unit vector of each pair, and keeps an odd last token; pooling 1 changes nothing."""
    between = round(math.sqrt(0.5), 4)

    assert reduce_text([1, 2, 3, 4, 5], [], 1) == [[1, 0], [0, 1], [1, 0], [1, 0], [0, 1]]
    assert reduce_text([1, 2, 3, 4, 5], [], 2) == [[between, between], [1, 0], [0, 1]]
    assert reduce_text([1, 2, 3], [], 4) == [[round(2 / math.sqrt(5), 4), round(1 / math.sqrt(5), 4)]]


def test_tokens_are_pruned_before_neighbours_pool() -> None:
    """The remaining tokens become neighbours; a text with only prunable tokens keeps all of them."""
    assert reduce_text([1, 9, 3, 4, 9], [9], 1) == [[1, 0], [1, 0], [1, 0]]
    assert reduce_text([1, 9, 3, 4, 9], [9], 2) == [[1, 0], [1, 0]]
    assert reduce_text([9, 9], [9], 1) == [[1, 0], [0, 1]]


def test_two_rankings_are_fused_by_reciprocal_ranks() -> None:
    """A passage counts 1 / (k + rank) in each ranking; without a word of the question it has no BM25 rank."""
    dense = np.array([0.9, 0.8, 0.7, 0.1], np.float32)
    sparse = np.array([0.0, 2.0, 0.0, 5.0], np.float32)
    k = RRF_K
    worth = [1 / (k + 1), 1 / (k + 2) + 1 / (k + 2), 1 / (k + 3), 1 / (k + 4) + 1 / (k + 1)]

    candidates = search.select_candidates(dense, sparse).tolist()

    assert candidates == sorted(range(4), key=lambda i: -worth[i])


def test_no_more_candidates_than_a_gateway_reranks() -> None:
    """The candidates are the first CANDIDATES of the ranking, in its order."""
    dense = -np.arange(500, dtype=np.float32)

    candidates = search.select_candidates(dense, np.zeros(500, np.float32))

    assert candidates.tolist() == list(range(search.CANDIDATES))


def test_bm25_scores_equal_those_of_the_store() -> None:
    """A score is the gateways' weight of a passage's word times the IDF of Qdrant's documentation."""
    passages = ["red pump", "blue pump", "blue blue boiler"]
    [weight_of_pump, _] = bm25.embed(["pump red"], query=False).rows[0].values
    rare, common = math.log((3 - 1 + 0.5) / (1 + 0.5) + 1), math.log((3 - 2 + 0.5) / (2 + 0.5) + 1)

    scores = search.bm25_scores(["pump", "red pumps", "valve"], passages)

    assert scores[0] == pytest.approx([weight_of_pump * common, weight_of_pump * common, 0])
    assert scores[1] == pytest.approx([weight_of_pump * (rare + common), weight_of_pump * common, 0])
    assert scores[2].tolist() == [0, 0, 0]


def test_binary_scores_become_cosines() -> None:
    """All signs equal: 1. Half of them: 0. A quarter of them unequal: an angle of 45 degrees."""
    cosines = shard.estimate_cosines(np.array([16.0, 0.0, 8.0], np.float32), 2, 8)

    assert cosines == pytest.approx([1, 0, math.sqrt(0.5)], abs=1e-6)


@pytest.mark.parametrize(
    ("variant", "tolerance"),
    [
        (Variant(1, "Float16"), 1e-3),
        (Variant(1, "Turbo8"), 5e-3),
        (Variant(1, "Turbo4"), 5e-2),
        (Variant(1, "Turbo8", codes=variants.RESCORED), 5e-3),
        (Variant(1, "Turbo8", codes=variants.ONE_BIT), 0.4),
    ],
)
def test_the_engine_scores_by_maxsim(tmp_path: Path, variant: Variant, tolerance: float) -> None:
    """A score is the mean over the question's tokens of the greatest cosine, in the order of the candidates."""
    rng = np.random.default_rng(3)
    question, *passages = (normalize(rng.normal(size=(n, 64)).astype(np.float32)) for n in (5, 9, 1, 30))
    exact = [(question @ rows.T).max(axis=1).mean() for rows in passages]
    built = shard.build(tmp_path, variant, passages)

    scores, duration_ms = shard.score(built, variant, question, np.array([2, 0, 1]))
    built.close()

    assert scores == pytest.approx([exact[2], exact[0], exact[1]], abs=tolerance)
    assert duration_ms > 0


def test_binary_codes_are_signs_beside_the_vectors(tmp_path: Path) -> None:
    """A score uses signs alone. On disk the codes are stored in addition to their vectors."""
    rng = np.random.default_rng(4)
    question, passage = (normalize(rng.normal(size=(n, 64)).astype(np.float32)) for n in (3, 40))
    sign_score = (np.sign(question) @ np.sign(passage).T).max(axis=1).sum()
    plain, binary = Variant(1, "Turbo8"), Variant(1, "Turbo8", codes=variants.BINARY)
    shard.build(tmp_path / "plain", plain, [passage] * 400).close()
    built = shard.build(tmp_path / "binary", binary, [passage] * 400)

    scores, _ = shard.score(built, binary, question, np.array([7]))
    built.close()

    assert scores == pytest.approx([math.sin(math.pi / 2 * sign_score / (3 * 64))], abs=1e-5)
    (plain_bytes, no_codes), (stored, codes) = (shard.stored_bytes(tmp_path / name) for name in ("plain", "binary"))
    assert no_codes == 0
    assert codes >= 400 * 40 * 64 / 8
    assert stored == plain_bytes + codes


def test_fewer_bits_take_less_space(tmp_path: Path) -> None:
    """A dimension takes 2, 1 and 0.5 bytes, within 25 %."""
    vectors = [normalize(np.random.default_rng(n).normal(size=(50, 64)).astype(np.float32)) for n in range(300)]
    sizes = []
    for datatype in ("Float16", "Turbo8", "Turbo4"):
        shard.build(tmp_path / datatype, Variant(1, datatype), vectors).close()
        sizes.append(shard.stored_bytes(tmp_path / datatype)[0] / (300 * 50 * 64))

    assert sizes == pytest.approx([2, 1, 0.5], rel=0.25)


def make_rows(**lost_points: tuple[float, float]) -> list[Row]:
    """Return the rows of variants `p<pooled>` on two corpora, given their losses there; more pooling is smaller."""
    zeros: dict[str, Any] = dict.fromkeys((field.name for field in dataclasses.fields(Row)), 0.0)
    return [
        Row(
            **zeros
            | {"corpus": corpus, "pooled": int(name[1:]), "datatype": "Turbo8", "pruned": "", "codes": ""}
            | {"stored_kb_per_passage": 100 / int(name[1:]), "lost_points": points}
        )
        for index, corpus in enumerate(("a", "b"))
        for name, points in ((name, losses[index]) for name, losses in lost_points.items())
    ]


def test_the_smallest_variant_with_a_small_loss_is_selected() -> None:
    """The loss is limited on every corpus, or on their mean, in which a gain offsets a loss."""
    rows = make_rows(p1=(0.0, 0.0), p2=(0.5, 0.2), p3=(0.8, 0.1), p4=(0.9, 0.3))

    assert variants.select_smallest(rows, max).pooled == 2
    assert variants.select_smallest(rows, lambda losses: float(np.mean(losses))).pooled == 3


@exported
def test_punctuation_and_common_tokens_are_prunable() -> None:
    """Punctuation is a token without a letter or digit; common tokens are the most frequent of the others."""
    passages = {"a": "Water, water: water! Is it tea?", "b": "Water is tea."}
    corpus = Corpus.build("tiny", passages, [Question("tea", {"b": 1})], [])
    model = search.load_model()
    encoded = search.encode(model, list(passages.values()), "document", lambda count: None)

    prunable_ids = search.find_prunable_ids(model, corpus, encoded)

    words = {token.text: token.id for row in model.texts.tokens(list(passages.values())) for token in row}
    assert [len(ids) for ids in encoded.ids] == [len(rows) for rows in encoded.tokens] == [10, 4]
    assert {words[mark] for mark in ",:!?."} <= set(prunable_ids[variants.PUNCTUATION].tolist())
    assert words["water"] not in prunable_ids[variants.PUNCTUATION]
    assert words["water"] in prunable_ids[variants.COMMONEST]
    assert prunable_ids[variants.NOTHING].size == 0


@exported
def test_the_study_measures_a_corpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The study writes a row per variant and a plot, prints the selection, and the uncompressed variant loses 0."""
    folder = tmp_path / "tiny"
    (folder / "qrels").mkdir(parents=True)
    lines = [json.dumps({"_id": key, "title": "", "text": text}) for key, text in PASSAGES.items()]
    (folder / "corpus.jsonl").write_text("\n".join(lines))
    queries = {"1": ("What moves the water?", "pump"), "2": ("How hot is the house?", "boiler")}
    (folder / "queries.jsonl").write_text(
        "\n".join(json.dumps({"_id": key, "text": text}) for key, (text, _) in queries.items())
    )
    judgements = "".join(f"{key}\t{answer}\t1\n" for key, (_, answer) in queries.items())
    (folder / "qrels" / "test.tsv").write_text(f"query\tpassage\tgrade\n{judgements}")

    study.main(["--beir", str(folder), "--out", str(tmp_path / "out")])

    with (tmp_path / "out" / "storage.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(variants.VARIANTS)
    assert {row["corpus"] for row in rows} == {"tiny"}
    assert rows[0]["datatype"] == "Float16"
    assert float(rows[0]["lost_points"]) == 0
    assert all(0 < float(row["fused_ndcg10"]) <= 1 and float(row["stored_kb_per_passage"]) > 0 for row in rows)
    assert (tmp_path / "out" / "storage.png").read_bytes().startswith(b"\x89PNG")
    assert "within 0.5 points on every corpus" in capsys.readouterr().out


def test_a_folder_without_a_corpus_is_refused(tmp_path: Path) -> None:
    """The exit message names the BEIR format."""
    with pytest.raises(SystemExit, match="BEIR"):
        study.main(["--beir", str(tmp_path), "--out", str(tmp_path / "out")])
