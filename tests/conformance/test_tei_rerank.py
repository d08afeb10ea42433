"""Text Embeddings Inference's `POST /rerank`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.client import Tei, parse_json
from tests.contract.client import Json

QUERY = "How many vacation days do I get?"
TEXTS = [
    "The parking policy is in section 5",
    "You get 20 vacation days per year",
    "How many vacation days do I get?",
]


def rerank(tei: Tei, **options: Any) -> list[Json]:
    """Return TEXTS as ranked by the server."""
    ranks: list[Json] = parse_json(tei.post("/rerank", query=QUERY, texts=TEXTS, **options))
    return ranks


def test_rerank(tei: Tei) -> None:
    """`POST /rerank` is a list of `{index, score}`, each text once."""
    ranks = rerank(tei)

    assert sorted(rank["index"] for rank in ranks) == [0, 1, 2], f"{ranks}"
    assert all(isinstance(rank["score"], float | int) for rank in ranks), f"{ranks}"


def test_sorted(tei: Tei) -> None:
    """The greatest score comes first."""
    scores = [rank["score"] for rank in rerank(tei)]

    assert scores == sorted(scores, reverse=True), f"{scores}"


def test_probabilities(tei: Tei) -> None:
    """Scores are from 0 to 1."""
    scores = [rank["score"] for rank in rerank(tei)]

    assert all(0 <= score <= 1 for score in scores), f"{scores}"


def test_raw_scores(tei: Tei) -> None:
    """`raw_scores: true` puts the texts into the same order."""
    raw_ranks, ranks = rerank(tei, raw_scores=True), rerank(tei)

    assert [rank["index"] for rank in raw_ranks] == [rank["index"] for rank in ranks], f"{raw_ranks} and {ranks}"


def test_return_text(tei: Tei) -> None:
    """`return_text: true` adds each text; without it there is none."""
    assert all(rank.get("text") == TEXTS[rank["index"]] for rank in rerank(tei, return_text=True)), "wrong texts"
    assert not any(rank.get("text") for rank in rerank(tei)), "texts without being asked"


def test_company(tei: Tei) -> None:
    """A text's score is the same alone and among others."""
    [single_rank] = parse_json(tei.post("/rerank", query=QUERY, texts=TEXTS[1:2]))
    rank_in_list = next(rank for rank in rerank(tei) if rank["index"] == 1)

    assert single_rank["score"] == pytest.approx(rank_in_list["score"], abs=1e-4), (
        f"{single_rank['score']} and {rank_in_list['score']}"
    )
