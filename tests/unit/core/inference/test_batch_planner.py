"""Batches: every input exactly once, within budget, and no cheaper way to cut them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateways.core.backend import PADDED, UNPADDED, PassCost
from gateways.core.inference import batch_planner
from gateways.core.inference.batch_planner import PASS_WORTH, plan

LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=200)
MAX_TOKENS = 400
COSTS = st.sampled_from([PADDED, UNPADDED])


def inputs(lengths: Sequence[int]) -> list[list[int]]:
    """Return inputs of these lengths, each of its own number."""
    return [[at] * length for at, length in enumerate(lengths)]


def computed(lengths: Sequence[int], cost: PassCost) -> float:
    """Return the tokens that a pass over rows of these lengths computes."""
    return cost.computed_tokens(len(lengths), max(lengths), sum(lengths))


def cost_of(batches: Sequence[Sequence[int]], cost: PassCost) -> float:
    """Return what passes over rows of these lengths cost together, and what it costs others to wait for each."""
    waiting = PASS_WORTH * sum(map(sum, batches))
    return sum(waiting + cost.cost_of_pass(len(batch), max(batch), sum(batch)) for batch in batches)


def ways_to_cut(lengths: Sequence[int]) -> Iterator[list[Sequence[int]]]:
    """Yield every way to cut a sequence into parts."""
    for cuts in itertools.product([False, True], repeat=len(lengths) - 1):
        ends = [0, *(at for at, cut in enumerate(cuts, start=1) if cut), len(lengths)]
        yield [lengths[start:end] for start, end in itertools.pairwise(ends)]


@given(LENGTHS, st.integers(1, 2_000), COSTS)
def test_a_plan_holds_every_input_exactly_once(lengths: list[int], max_tokens: int, cost: PassCost) -> None:
    """Nothing is lost and nothing is computed twice."""
    planned = [row[0] for batch in plan(inputs(lengths), max_tokens, cost) for row in batch]

    assert sorted(planned) == list(range(len(lengths)))


@given(LENGTHS, st.integers(1, 2_000), COSTS)
def test_no_batch_is_over_the_budget(lengths: list[int], max_tokens: int, cost: PassCost) -> None:
    """Tokens, and padding where it is computed, stay within it; a single input may be longer."""
    for batch in plan(inputs(lengths), max_tokens, cost):
        assert computed([len(row) for row in batch], cost) <= max_tokens or len(batch) == 1


@given(LENGTHS, COSTS)
def test_a_plan_runs_short_inputs_first(lengths: list[int], cost: PassCost) -> None:
    """Short questions do not wait behind long passages of the same moment."""
    longest = [max(map(len, batch)) for batch in plan(inputs(lengths), 512, cost)]

    assert longest == sorted(longest)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=9), COSTS)
def test_no_other_cut_costs_less(lengths: list[int], cost: PassCost) -> None:
    """Of all ways to cut the inputs, ordered by length, into batches within the budget."""
    possible = (
        cost_of(batches, cost)
        for batches in ways_to_cut(sorted(lengths))
        if all(len(batch) == 1 or computed(batch, cost) <= MAX_TOKENS for batch in batches)
    )

    planned = [[len(row) for row in batch] for batch in plan(inputs(lengths), MAX_TOKENS, cost)]

    assert cost_of(planned, cost) == pytest.approx(min(possible))


@given(st.lists(st.integers(1, 300), min_size=1, max_size=400), st.integers(5_000, 70_000), COSTS)
def test_a_large_budget_is_planned_in_groups(lengths: list[int], max_tokens: int, cost: PassCost) -> None:
    """Every input once, no batch over the budget, and hardly dearer than row by row, which takes n squared steps."""
    planned = plan(inputs(lengths), max_tokens, cost)

    assert sorted(row[0] for batch in planned for row in batch) == list(range(len(lengths)))
    batches = [[len(row) for row in batch] for batch in planned]
    assert all(computed(batch, cost) <= max_tokens for batch in batches)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_planner, "MAX_UNGROUPED_TOKENS", max_tokens)
        best = [[len(row) for row in batch] for batch in plan(inputs(lengths), max_tokens, cost)]
    assert cost_of(batches, cost) <= 1.2 * cost_of(best, cost)
