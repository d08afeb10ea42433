"""The plan of a search: a pure function of the question, the collection's profile and the models served."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateways.core.backend import ModelInfo
from gateways.core.errors import GatewayError, InvalidRequest
from gateways.core.models.registry import ModelRegistry
from gateways.core.profiles import Profile
from gateways.core.scoring import fusion
from gateways.core.scoring.fusion import Weights
from gateways.core.search.query_encoding import Mode

# The minimum number of passages to rerank: enough to contain the right one, few enough for a CPU.
MIN_RERANK_CANDIDATES = 20
# The kinds of scores that a mode has when stored token vectors are compared too. The query is embedded in any case.
_SCORE_KINDS: Mapping[Mode, frozenset[str]] = {
    "dense": frozenset({"dense"}),
    "sparse": frozenset({"dense", "sparse"}),
    "hybrid": frozenset({"dense", "sparse"}),
}
# The lowest and the highest score of each kind of search.
_SCORE_BOUNDS = {"dense": (-1.0, 1.0), "sparse": (0.0, float("inf")), "hybrid": (0.0, 1.0), "rerank": (0.0, 1.0)}


@dataclass(frozen=True, slots=True)
class Question:
    """A search request. `top_k` None and `rerank` None mean the value of the collection's profile."""

    query: str
    collection: str
    mode: Mode = "dense"
    top_k: int | None = None
    where: dict[str, Any] | None = None
    min_score: float | None = None
    rerank: bool | str | None = None
    explain: bool = False


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """
    How a question is answered.

    The store retrieves `candidates` passages with a score of at least `min_score`, and `top_k` are returned.
    `stored` true: the reranker compares the token vectors in the collection. Otherwise it reads the candidates' text.
    `weighed` true: the stored scores of each candidate are fused, by `weights` or, if None, by reciprocal rank.
    """

    top_k: int
    candidates: int
    min_score: float | None
    reranker: ModelInfo | None
    stored: bool = False
    weighed: bool = False
    weights: Weights | None = None


def make_plan(registry: ModelRegistry, question: Question, profile: Profile) -> SearchPlan:
    """Plan a search without running a model. Raises InvalidRequest for `min_score`, GatewayError for `rerank`."""
    reranker = _choose_reranker(registry, question, profile)
    _check_min_score(question, reranker)
    top_k = question.top_k or profile.top_k
    stored = reranker is not None and profile.late_interaction and reranker.of == profile.embedding_model
    kinds = _SCORE_KINDS[question.mode] | {"late"} if stored else _SCORE_KINDS[question.mode]
    weights = fusion.weights(profile.fusion, profile.embedding_model, kinds)
    weighed = stored or (reranker is None and question.mode == "hybrid" and bool(profile.fusion and weights))
    if reranker is None and not weighed:
        return SearchPlan(top_k, top_k, question.min_score, None)
    return SearchPlan(top_k, max(top_k, MIN_RERANK_CANDIDATES), None, reranker, stored, weighed, weights)


def _choose_reranker(registry: ModelRegistry, question: Question, profile: Profile) -> ModelInfo | None:
    """Return the reranker of the question, else of the profile; None if the search is not reranked."""
    choice = profile.reranker_model is not None if question.rerank is None else question.rerank
    if choice is False:
        return None
    try:
        return registry.model(choice if isinstance(choice, str) else profile.reranker_model, "rerank")
    except GatewayError as error:
        error.param = "rerank"
        raise


def _check_min_score(question: Question, reranker: ModelInfo | None) -> None:
    kind = "rerank" if reranker else question.mode
    lowest, highest = _SCORE_BOUNDS[kind]
    if question.min_score is not None and not lowest <= question.min_score <= highest:
        raise InvalidRequest(
            f"min_score is {question.min_score:g}; scores of this search go from {lowest:g} to {highest:g} ({kind}).",
            param="min_score",
        )
