"""Retry budgets: second calls are a share of all calls."""

from __future__ import annotations

from gateways.split.gateway.retry_budget import RetryBudget
from tests.support.clock import Clock


def test_second_calls_are_a_share_of_all_calls() -> None:
    """After the first `capacity`, each tenth call may be repeated, however many calls ask for it."""
    budget = RetryBudget(3, per_call=0.125)
    assert [budget.take() for _ in range(5)] == [True, True, True, False, False]

    repeated = 0
    for _ in range(80):
        budget.record_call()
        repeated += budget.take()

    assert repeated == 10


def test_a_budget_is_saved_up_to_its_capacity_only() -> None:
    """A day without failures allows no burst of retries."""
    clock = Clock()
    budget = RetryBudget(3, per_call=0.5, per_s=1.0, clock=clock)
    for _ in range(1_000):
        budget.record_call()
    clock.now_s += 1_000

    assert [budget.take() for _ in range(4)] == [True, True, True, False]


def test_time_fills_a_budget_too() -> None:
    """A gateway with few calls may repeat each of them."""
    clock = Clock()
    budget = RetryBudget(1, per_call=0.0, per_s=0.5, clock=clock)
    assert [budget.take(), budget.take()] == [True, False]
    clock.now_s += 1.9
    assert not budget.take()
    clock.now_s += 0.2
    assert budget.take()
