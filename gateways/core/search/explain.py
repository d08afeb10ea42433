"""Explain a result: the score and the rank of each hit in every ranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from gateways.core.stores.base import Hit

# By document id and passage number: the rank, counted from 1, and the score.
Places: TypeAlias = dict[tuple[str, int], tuple[int | None, float]]

RANKINGS = ("dense", "sparse", "fused", "late", "rerank")


def explain(
    hits: Sequence[Hit], rankings: Mapping[str, Sequence[Hit]], scored: Mapping[str, Sequence[Hit]]
) -> list[dict[str, Any]]:
    """
    Return one dict per hit: the score in each of RANKINGS, and `ranks`, counted from 1.

    None means that the ranking does not exist or does not contain the passage. A passage that is only in `scored`
    has a score and no rank.
    """
    places: dict[str, Places] = {name: {} for name in RANKINGS}
    for name, ranking in scored.items():
        places[name] |= {_passage_key(hit): (None, hit.score) for hit in ranking}
    for name, ranking in rankings.items():
        places[name] |= {_passage_key(hit): (rank, hit.score) for rank, hit in enumerate(ranking, 1)}
    return [_explain_hit(hit, places) for hit in hits]


def _explain_hit(hit: Hit, places: Mapping[str, Places]) -> dict[str, Any]:
    by_ranking = {name: places[name].get(_passage_key(hit), (None, None)) for name in RANKINGS}
    return {name: score for name, (_, score) in by_ranking.items()} | {
        "ranks": {name: rank for name, (rank, _) in by_ranking.items()}
    }


def _passage_key(hit: Hit) -> tuple[str, int]:
    return hit.passage.document_id, hit.passage.number
