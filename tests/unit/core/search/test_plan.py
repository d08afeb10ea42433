"""The plan of a search: mode × rerank × profile, decided before a model runs."""

from __future__ import annotations

import dataclasses

import pytest

from gateways.core.errors import InvalidRequest, NotFound
from gateways.core.inference.pseudo_backend import DEFAULT, PseudoBackend
from gateways.core.models.registry import ModelRegistry
from gateways.core.profiles import Profile
from gateways.core.scoring.fusion import Weights
from gateways.core.search.plan import MIN_RERANK_CANDIDATES, Question, SearchPlan, make_plan
from gateways.core.search.query_encoding import Mode

PROFILE = Profile(DEFAULT, 384, "bm25", top_k=5)
WITH_TOKENS = dataclasses.replace(PROFILE, late_interaction=True)
WEIGHTS = Weights(bias=-1.0, dense=2.0, sparse=0.1)
MODES: tuple[Mode, ...] = ("dense", "sparse", "hybrid")


def plan(profile: Profile = PROFILE, mode: Mode = "dense", **values: object) -> SearchPlan:
    """Return the plan of a question with these fields."""
    question = dataclasses.replace(Question("tea", "default", mode), **values)  # type: ignore[arg-type]
    return make_plan(ModelRegistry(PseudoBackend()), question, profile)


@pytest.mark.parametrize("mode", MODES)
def test_without_reranker_the_store_ranks(mode: Mode) -> None:
    """No reranker and no weights: as many candidates as results, and the store applies `min_score`."""
    assert plan(mode=mode, min_score=0.5) == SearchPlan(5, 5, 0.5, None)


@pytest.mark.parametrize(("top_k", "candidates"), [(1, MIN_RERANK_CANDIDATES), (20, 20), (50, 50), (1000, 1000)])
def test_reranking_reads_at_least_as_many_candidates_as_results(top_k: int, candidates: int) -> None:
    """`top_k` results need `top_k` candidates, and a small `top_k` still has MIN_RERANK_CANDIDATES."""
    made = plan(rerank=True, top_k=top_k)

    assert (made.top_k, made.candidates) == (top_k, candidates)


def test_the_question_overrides_the_profile() -> None:
    """`top_k` and `rerank` of the question win; None means the value of the profile."""
    profile = dataclasses.replace(PROFILE, reranker_model="late-interaction", top_k=7)

    assert (plan(profile).top_k, plan(profile, top_k=3).top_k) == (7, 3)
    assert (made := plan(profile).reranker) is not None
    assert made.id == "late-interaction"
    assert plan(profile, rerank=False).reranker is None
    assert plan(rerank=True).reranker == plan(rerank="late-interaction").reranker == made


@pytest.mark.parametrize("mode", MODES)
def test_stored_token_vectors_are_compared_where_the_collection_has_them(mode: Mode) -> None:
    """Token vectors of the reranker's dense model are stored: the reranker compares those and reads no text."""
    made = plan(WITH_TOKENS, mode, rerank=True)

    assert (made.stored, made.weighed) == (True, True)
    assert not plan(PROFILE, mode, rerank=True).stored


def test_token_vectors_of_another_model_are_not_compared() -> None:
    """The reranker compares tokens of its own dense model only; other collections are reranked by their text."""
    other = dataclasses.replace(WITH_TOKENS, embedding_model="pseudo-64", dimensions=64)

    assert not plan(other, rerank=True).stored


def test_min_score_is_applied_to_the_final_score() -> None:
    """A reranked or weighed search filters after the ranking, so the store must not drop by its own scores."""
    weighed = dataclasses.replace(PROFILE, fusion=WEIGHTS)

    assert plan(rerank=True, min_score=0.9).min_score is None
    assert plan(weighed, "hybrid", min_score=0.9).min_score is None


def test_weights_fuse_hybrid_searches_only() -> None:
    """Weights of a profile apply where there are two rankings to fuse."""
    weighed = dataclasses.replace(PROFILE, fusion=WEIGHTS)

    hybrid = plan(weighed, "hybrid")
    assert (hybrid.weighed, hybrid.weights, hybrid.candidates) == (True, WEIGHTS, MIN_RERANK_CANDIDATES)
    assert not plan(weighed, "dense").weighed
    assert not plan(dataclasses.replace(PROFILE, fusion="rrf"), "hybrid").weighed


@pytest.mark.parametrize(
    ("mode", "rerank", "min_score"),
    [("dense", False, 1.01), ("dense", False, -1.01), ("sparse", False, -0.01), ("hybrid", False, 1.01)]
    + [(mode, True, value) for mode in MODES for value in (-0.01, 1.01)],
)
def test_a_min_score_that_no_score_reaches_is_refused(mode: Mode, rerank: bool, min_score: float) -> None:
    """The error names the parameter and both bounds."""
    with pytest.raises(InvalidRequest, match="scores of this search go from") as caught:
        plan(mode=mode, rerank=rerank, min_score=min_score)

    assert caught.value.param == "min_score"


@pytest.mark.parametrize(("mode", "min_score"), [("dense", -1.0), ("dense", 1.0), ("sparse", 40.0), ("hybrid", 1.0)])
def test_the_bounds_themselves_are_allowed(mode: Mode, min_score: float) -> None:
    """A bound is a possible score."""
    assert plan(mode=mode, min_score=min_score).min_score == min_score


def test_an_unknown_reranker_is_an_error_of_rerank() -> None:
    """The parameter in the error is `rerank`, not the registry's `model`."""
    with pytest.raises(NotFound) as caught:
        plan(rerank="nobody")

    assert caught.value.param == "rerank"
