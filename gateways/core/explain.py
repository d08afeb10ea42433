"""Why a passage stands where it stands: its score and its rank in every ranking that had a say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from gateways.core.stores.base import Hit

# By document and number of a passage, its rank and its score.
Places: TypeAlias = dict[tuple[str, int], tuple[int | None, float]]

RANKINGS = ("dense", "sparse", "fused", "late", "rerank")


def explain(
    hits: Sequence[Hit], rankings: Mapping[str, Sequence[Hit]], scored: Mapping[str, Sequence[Hit]]
) -> list[dict[str, Any]]:
    """
    Return for each hit its score in each of RANKINGS, and `ranks`, counted from 1.

    None stands for a ranking that was not made, or that the passage is not in; what it scored there is told still
    where it is in `scored`.
    """
    places: dict[str, Places] = {name: {} for name in RANKINGS}
    for name, found in scored.items():
        places[name] |= {_key(hit): (None, hit.score) for hit in found}
    for name, found in rankings.items():
        places[name] |= {_key(hit): (rank, hit.score) for rank, hit in enumerate(found, 1)}
    return [_explained(hit, places) for hit in hits]


def _explained(hit: Hit, places: Mapping[str, Places]) -> dict[str, Any]:
    found = {name: places[name].get(_key(hit), (None, None)) for name in RANKINGS}
    return {name: score for name, (_, score) in found.items()} | {
        "ranks": {name: rank for name, (rank, _) in found.items()}
    }


def _key(hit: Hit) -> tuple[str, int]:
    return hit.passage.document_id, hit.passage.number
