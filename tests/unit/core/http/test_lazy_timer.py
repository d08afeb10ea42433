"""The timeout that is started and stopped with every request, by a time that the test moves."""

from __future__ import annotations

import pytest

from gateways.core.http.lazy_timer import LazyTimer
from tests.support.clock import Loop, run_skipping


@pytest.mark.parametrize(("restarts", "end_s"), [([], 10.0), ([3.0], 13.0), ([3.0, 9.0, 9.5], 19.5)])
def test_it_expires_once_and_as_late_as_it_was_started(restarts: list[float], end_s: float) -> None:
    """However often it is stopped and started again."""

    async def scenario(loop: Loop) -> None:
        expired: list[float] = []
        begun_s = loop.time()
        timer = LazyTimer(loop, 10.0, lambda: expired.append(loop.time() - begun_s))
        timer.start()
        for number in range(1, 100):
            await loop.skip(0.5)
            if number * 0.5 in restarts:
                timer.stop()
                timer.start()

        assert expired == [end_s]

    run_skipping(scenario)


@pytest.mark.parametrize("end", [LazyTimer.stop, LazyTimer.close])
def test_a_timer_that_ended_does_not_expire(end: object) -> None:
    """Nor does starting one that runs begin its time anew."""

    async def scenario(loop: Loop) -> None:
        expired: list[float] = []
        timer = LazyTimer(loop, 10.0, lambda: expired.append(loop.time()))
        timer.start()
        await loop.skip(6)
        timer.start()
        assert callable(end)
        end(timer)
        await loop.skip(60)
        assert not expired

        timer.start()
        await loop.skip(6)
        timer.start()
        await loop.skip(6)
        assert len(expired) == 1

    run_skipping(scenario)
