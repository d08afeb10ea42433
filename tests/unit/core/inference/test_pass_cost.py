"""What passes cost is measured once for a machine and a model, and explains how long passes take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateways.core.backend import PassCost, TokenIds
from gateways.core.inference.pass_cost import KNEE_LENGTH, MAX_COST, SHAPES, fit_cost, measure_knee, pass_cost

COSTS = st.builds(
    PassCost, fixed=st.floats(0, 60), padding=st.floats(0, 1), pair=st.floats(0, 1 / 250), knee=st.just(0)
)


class Passes:
    """Passes that take as long as their tokens say, counted."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, batch: Sequence[TokenIds]) -> None:
        """Take 10 µs a token."""
        self.count += 1
        time.sleep(1e-5 * sum(map(len, batch)))


@given(COSTS, st.floats(1e-6, 1e-2))
def test_the_fit_finds_what_passes_cost(cost: PassCost, token_s: float) -> None:
    """From exact times, whatever a token takes."""
    seconds = [token_s * cost.cost_of_pass(len(lengths), max(lengths), sum(lengths)) for lengths in SHAPES]

    assert tuple(fit_cost(SHAPES, seconds)) == pytest.approx(tuple(cost), rel=1e-3, abs=1e-4)


@given(st.lists(st.floats(1e-4, 10), min_size=len(SHAPES), max_size=len(SHAPES)))
def test_no_measurement_makes_nonsense(seconds: list[float]) -> None:
    """Whatever a busy machine did to it, costs are within what is possible."""
    assert all(0 <= cost <= limit for cost, limit in zip(fit_cost(SHAPES, seconds), MAX_COST, strict=True))


def test_it_is_measured_once(tmp_path: Path) -> None:
    """The next start reads it; another model or engine, and a file that says nothing, are measured anew."""
    weights, passes = tmp_path / "model.onnx", Passes()
    weights.write_bytes(b"weights")

    first = pass_cost(passes, weights, "fp32")
    measured = passes.count

    assert pass_cost(passes, weights, "fp32") == first
    assert passes.count == measured
    pass_cost(passes, weights, "int8")
    assert passes.count == 2 * measured
    for file in (tmp_path / ".measured").iterdir():
        file.write_text("{}")
    pass_cost(passes, weights, "fp32")
    assert passes.count == 3 * measured
    weights.write_bytes(b"other weights")
    pass_cost(passes, weights, "fp32")
    assert passes.count == 4 * measured


def test_it_need_not_be_kept(tmp_path: Path) -> None:
    """Where nothing can be written it is measured at every start."""
    weights, passes = tmp_path / "model.onnx", Passes()
    weights.write_bytes(b"weights")
    (tmp_path / ".measured").write_text("not a folder")

    for starts in (1, 2):
        pass_cost(passes, weights, "fp32")
        assert passes.count == starts * 3 * len(SHAPES)


class Card:
    """Passes that take 100 µs a token, but as long as `least` tokens at least, as on a GPU; over `most` fail."""

    def __init__(self, least: int, most: int) -> None:
        self.least = least
        self.most = most

    def __call__(self, batch: Sequence[TokenIds]) -> None:
        """Take as long."""
        tokens = sum(map(len, batch))
        if tokens > self.most:
            raise RuntimeError("CUDA out of memory")
        time.sleep(1e-4 * max(tokens, self.least))


def test_the_knee_is_where_more_tokens_are_no_faster() -> None:
    """Twice as many cost twice as much from 1,024 on."""
    assert measure_knee(Card(least=1_024, most=10**6), (KNEE_LENGTH, 8_192)) == 1_024


def test_the_knee_is_what_the_memory_holds() -> None:
    """However much faster more would be."""
    assert measure_knee(Card(least=2_000, most=600), (KNEE_LENGTH, 8_192)) == 512


def test_a_pass_that_never_works_has_no_knee() -> None:
    """What is wrong is said, not hidden in a number."""
    with pytest.raises(RuntimeError, match="out of memory"):
        measure_knee(Card(least=1, most=1), (KNEE_LENGTH, 8_192))
