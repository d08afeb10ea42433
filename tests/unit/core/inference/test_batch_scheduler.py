"""The scheduler: oldest first, a window at a time, and a share for each thread."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateways.core.backend import F32, PADDED, PassCost, TokenIds
from gateways.core.inference.batch_scheduler import MIN_SHARE_TOKENS, SHARE_ROOM, BatchScheduler
from gateways.core.inference.batch_size_limit import BatchSizeLimit
from gateways.core.inference.request_queue import QueuedInput
from tests.support.batcher import first_and_length, queued

MAX_TOKENS = 200
LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=80)
THREADS = st.integers(1, 4)


def arrivals(lengths: Sequence[int], cost: PassCost = PADDED) -> deque[QueuedInput]:
    """Return inputs of these lengths, each with its place in the queue as its tokens."""

    async def arrive() -> list[QueuedInput]:
        return queued(first_and_length, [[place] * length for place, length in enumerate(lengths)], cost)[1]

    return deque(asyncio.run(arrive()))


def scheduler(threads: int = 1, *, max_tokens: int = MAX_TOKENS, background: bool = False) -> BatchScheduler:
    """Return a scheduler of batches of 200 tokens."""
    return BatchScheduler(BatchSizeLimit(max_tokens), threads, background=background)


def places(batches: Sequence[Sequence[QueuedInput]]) -> list[int]:
    """Return the places in the queue that these batches hold, in the order in which they run."""
    return [item.position for batch in batches for item in batch]


@given(LENGTHS, THREADS)
def test_the_oldest_go_first(lengths: list[int], threads: int) -> None:
    """Every input runs once, and none before an input of an earlier window."""
    queue, windows = arrivals(lengths), []

    while queue:
        windows.append(sorted(places(scheduler(threads).schedule(queue))))

    assert [place for window in windows for place in window] == list(range(len(lengths)))


@given(LENGTHS, THREADS)
def test_a_window_is_one_pass_of_each_thread(lengths: list[int], threads: int) -> None:
    """As many as fit in it with room for padding, and one input at least: a query that comes now waits no longer."""
    queue = arrivals(lengths)
    window_tokens = MAX_TOKENS * threads / SHARE_ROOM

    window = places(scheduler(threads).schedule(queue))

    tokens = sum(lengths[place] for place in window)
    assert tokens <= window_tokens or len(window) == 1
    assert not queue or tokens + len(queue[0]) > int(window_tokens)


@given(LENGTHS)
def test_in_the_background_the_window_is_the_whole_queue(lengths: list[int]) -> None:
    """Shortest first through all of it."""
    queue = arrivals(lengths)

    batches = scheduler(background=True).schedule(queue)

    assert not queue
    assert sorted(places(batches)) == list(range(len(lengths)))
    longest = [max(map(len, batch)) for batch in batches]
    assert longest == sorted(longest)


@pytest.mark.parametrize(("threads", "inputs"), [(2, 24), (2, 7), (3, 24), (3, 10), (4, 24)])
def test_every_thread_gets_a_share(threads: int, inputs: int) -> None:
    """A window that one pass could hold is split into a batch for each thread, though the shares are not even."""
    batches = scheduler(threads, max_tokens=4_000).schedule(arrivals([50] * inputs))

    assert len(batches) == threads


def test_a_few_short_inputs_are_the_work_of_one_thread() -> None:
    """Less than the least share is not split, nor less than a pass costs by itself."""
    short = arrivals([8] * (MIN_SHARE_TOKENS // 8))
    assert len(scheduler(4).schedule(short)) == 1

    costly = arrivals([50] * 20, PassCost(fixed=1_000, padding=0, pair=0))
    assert len(scheduler(4, max_tokens=4_000).schedule(costly)) == 1


def test_a_cancelled_request_is_not_scheduled() -> None:
    """Its inputs leave the queue, wherever they are in it."""

    async def arrive() -> deque[QueuedInput]:
        requests = [queued(first_and_length, [[n], [n]]) for n in range(3)]
        for number in (0, 2):
            requests[number][0].cancelled = True
        return deque(item for _, inputs in requests for item in inputs)

    queue = asyncio.run(arrive())

    [batch] = scheduler().schedule(queue)

    assert [item.item for item in batch] == [[1], [1]]
    assert not queue
    assert scheduler().schedule(queue) == []


def test_a_batch_is_of_one_model() -> None:
    """Each within the limit of its own model."""

    def other(batch: Sequence[TokenIds]) -> F32:
        return first_and_length(batch)

    async def arrive() -> deque[QueuedInput]:
        knee = PassCost(fixed=8, padding=1, pair=0, knee=100)
        inputs = [queued(run, [[1] * 50], cost)[1] for run, cost in [(first_and_length, PADDED), (other, knee)] * 6]
        return deque(item for [item] in inputs)

    batches = scheduler(max_tokens=1_000).schedule(asyncio.run(arrive()))

    for batch in batches:
        assert len({item.request.run for item in batch}) == 1
        assert batch[0].request.run is first_and_length or sum(map(len, batch)) <= 100
    assert sum(map(len, batches)) == 12
