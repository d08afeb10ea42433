"""The two lanes: each has a longest wait of its own, and health is about both."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence

import pytest

from gateways.core.backend import PADDED, Lane, TokenIds
from gateways.core.errors import Overloaded
from gateways.core.inference.priority_lanes import PriorityLanes
from gateways.core.inference.request_queue import QueuedRequest
from gateways.core.settings import ModelSettings
from tests.support.clock import Clock

# A pass is one request: 100 tokens, and it takes a second.
TOKENS, TOKENS_PER_S = 100, 100
SETTINGS = ModelSettings(max_batch_tokens=TOKENS, max_wait_ms=2_000, max_bulk_wait_ms=5_000, model_hang_s=60)
HANGS_SOON = SETTINGS.model_copy(update={"model_hang_s": 2.0})


class Model:
    """A model of known speed. It can be stopped in its next pass."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.taken = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def run(self, batch: Sequence[TokenIds]) -> list[int]:
        """Let the clock pass, and return the length of each input."""
        self.taken.set()
        self.go_on.wait(timeout=30)
        self.clock.now_s += sum(map(len, batch)) / TOKENS_PER_S
        return [len(ids) for ids in batch]


def run_lanes(
    scenario: Callable[[PriorityLanes, Model], Awaitable[None]], settings: ModelSettings = SETTINGS
) -> None:
    """Run a scenario with lanes of one thread each."""

    async def run() -> None:
        model = Model()
        lanes = PriorityLanes(settings, 1, model.clock)
        lanes.start()
        await scenario(lanes, model)
        await lanes.close()

    asyncio.run(asyncio.wait_for(run(), 20))


def submit(lanes: PriorityLanes, model: Model, lane: Lane) -> asyncio.Task[QueuedRequest]:
    """Send a request of one pass."""
    return asyncio.create_task(lanes.submit(model.run, [[1] * TOKENS], lane, PADDED))


async def stop_in_pass(lanes: PriorityLanes, model: Model, lane: Lane) -> asyncio.Task[QueuedRequest]:
    """Return a request whose pass does not end before `go_on`."""
    model.taken.clear()
    model.go_on.clear()
    request = submit(lanes, model, lane)
    await asyncio.to_thread(model.taken.wait, 10)
    return request


@pytest.mark.parametrize(("lane", "admitted"), [("interactive", 3), ("bulk", 6)])
def test_each_lane_has_a_longest_wait_of_its_own(lane: Lane, admitted: int) -> None:
    """MAX_WAIT_MS for queries, MAX_BULK_WAIT_MS for bulk work: so many requests wait, and the others get 429."""

    async def scenario(lanes: PriorityLanes, model: Model) -> None:
        await submit(lanes, model, lane)
        at_work = await stop_in_pass(lanes, model, lane)
        waiting = [submit(lanes, model, lane) for _ in range(10)]
        await asyncio.sleep(0)
        model.go_on.set()
        outcomes = await asyncio.gather(at_work, *waiting, return_exceptions=True)

        refused = [isinstance(outcome, Overloaded) for outcome in outcomes]
        assert refused == [False] * (1 + admitted) + [True] * (10 - admitted)

    run_lanes(scenario)


@pytest.mark.parametrize(("lane", "thread"), [("interactive", "model-0"), ("bulk", "bulk-0")])
def test_a_thread_that_hangs_in_either_lane_is_reported(lane: Lane, thread: str) -> None:
    """Health says which thread it is, as soon as a pass is over MODEL_HANG_S."""

    async def scenario(lanes: PriorityLanes, model: Model) -> None:
        request = await stop_in_pass(lanes, model, lane)
        assert lanes.failure() is None
        # In steps: the watchdog takes a leap of the clock for a pause of the process.
        while lanes.failure() is None:
            model.clock.now_s += 1.0
            await asyncio.sleep(0.02)

        assert str(lanes.failure()).startswith(f"{thread} has been at one pass")
        model.go_on.set()
        await asyncio.gather(request, return_exceptions=True)

    run_lanes(scenario, HANGS_SOON)
