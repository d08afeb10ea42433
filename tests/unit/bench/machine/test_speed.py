"""The yardstick of the machine's speed."""

from __future__ import annotations

import os

import pytest

from bench.machine import cores, speed


@pytest.mark.skipif(not cores.available(), reason="no CPU affinity here")
def test_the_yardstick_runs_on_the_given_core_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a product is timed the thread is pinned; afterwards it has its cores back."""
    before = cores.available()
    seen: set[tuple[int, ...]] = set()

    def look() -> float:
        seen.add(tuple(sorted(os.sched_getaffinity(0))))
        return 0.001 + len(seen)

    monkeypatch.setattr(speed, "_time_product", look)

    assert speed.seconds(before[:1]) == pytest.approx(1.001)
    assert seen == {before[:1]}
    assert cores.available() == before


def test_a_product_takes_time() -> None:
    """The work is real: a duration above 0."""
    assert speed.seconds(cores.available()) > 0
