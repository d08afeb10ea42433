"""The batcher: every row exactly once, within budget, back to whom it belongs."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateways.core.backend import F32, TokenIds
from gateways.core.background import NICE
from gateways.core.batcher import Batcher
from gateways.core.errors import ModelFailed, Overloaded
from gateways.core.pass_size import PASSES_AGAIN
from gateways.core.planning import PassCost
from gateways.core.tickets import Ticket


def first_and_length(batch: Sequence[TokenIds]) -> F32:
    """Encode each row as its first token and its length, so that a test sees whose vector it got."""
    return np.array([[ids[0], len(ids)] for ids in batch], dtype=np.float32)


def batcher(**options: float) -> Batcher:
    """Return a small batcher."""
    chosen: dict[str, Any] = {"threads": 2, "max_batch_tokens": 64, "max_queue_tokens": 100_000} | options
    return Batcher(**chosen)


def results(ticket: Ticket) -> list[list[float]]:
    """Return what a request got, as lists."""
    return [result.tolist() for result in ticket.results]


async def submit_all(feeder: Batcher, batches: Sequence[Sequence[TokenIds]]) -> list[Ticket | BaseException]:
    """Submit all at once, and close."""
    feeder.start()
    waiting = [feeder.submit(first_and_length, batch) for batch in batches]
    tickets = await asyncio.gather(*waiting, return_exceptions=True)
    await feeder.close()
    return tickets


@given(st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=9), min_size=1, max_size=30))
def test_every_request_gets_its_own_vectors_in_its_own_order(requests: list[list[int]]) -> None:
    """However rows of different requests share batches and threads."""
    batches = [[[number] * length for length in lengths] for number, lengths in enumerate(requests)]

    for background in (False, True):
        tickets = asyncio.run(submit_all(batcher(background=background), batches))
        for number, (ticket, lengths) in enumerate(zip(tickets, requests, strict=True)):
            assert isinstance(ticket, Ticket)
            assert results(ticket) == [[number, length] for length in lengths]


def test_no_batch_mixes_two_models() -> None:
    """Each model is given its own rows only, though all wait in one queue."""

    def ones(batch: Sequence[TokenIds]) -> list[int]:
        assert all(ids[0] == 1 for ids in batch)
        return [1 for _ in batch]

    def twos(batch: Sequence[TokenIds]) -> list[int]:
        assert all(ids[0] == 2 for ids in batch)
        return [2 for _ in batch]

    async def scenario() -> list[Ticket]:
        feeder = batcher(threads=1)
        feeder.start()
        models = {1: ones, 2: twos}
        waiting = (feeder.submit(models[1 + n % 2], [[1 + n % 2] * 3] * 2) for n in range(20))
        tickets = await asyncio.gather(*waiting)
        await feeder.close()
        return tickets

    assert [ticket.results for ticket in asyncio.run(scenario())] == [[1 + n % 2] * 2 for n in range(20)]


def test_a_failing_batch_fails_its_requests_and_no_later_one() -> None:
    """The model thread lives on."""

    def fragile(batch: Sequence[TokenIds]) -> F32:
        if any(ids[0] == 13 for ids in batch):
            raise ValueError("unlucky")
        return first_and_length(batch)

    async def scenario() -> tuple[BaseException | None, list[list[float]], str | None]:
        feeder = batcher(threads=1)
        feeder.start()
        failed = (await asyncio.gather(feeder.submit(fragile, [[13]]), return_exceptions=True))[0]
        after = await feeder.submit(fragile, [[7, 7]])
        failure = feeder.failure()
        await feeder.close()
        return (failed if isinstance(failed, BaseException) else None), results(after), failure

    failed, after, failure = asyncio.run(scenario())

    assert isinstance(failed, ModelFailed)
    assert after == [[7, 2]]
    assert failure is None


def test_a_full_queue_refuses_with_a_time_to_come_back() -> None:
    """Overload is told at once, not suffered."""
    gate = threading.Event()

    def blocked(batch: Sequence[TokenIds]) -> F32:
        gate.wait(timeout=30)
        return first_and_length(batch)

    async def scenario() -> list[Ticket | BaseException]:
        feeder = batcher(threads=1, max_queue_tokens=100)
        feeder.start()
        submitted = asyncio.gather(*(feeder.submit(blocked, [[1] * 60]) for _ in range(10)), return_exceptions=True)
        await asyncio.sleep(0)
        gate.set()
        outcomes = await submitted
        await feeder.close()
        return outcomes

    outcomes = asyncio.run(scenario())

    refused = [outcome for outcome in outcomes if isinstance(outcome, Overloaded)]
    assert refused
    assert len(refused) < len(outcomes)
    assert all(int(error.headers()["Retry-After"]) >= 1 for error in refused)


def test_a_bad_input_fails_alone() -> None:
    """A batch that breaks is halved until the bad one is by itself; who else was in it gets his results."""

    def fragile(batch: Sequence[TokenIds]) -> F32:
        if any(ids[0] == 13 for ids in batch):
            raise ValueError("unlucky")
        return first_and_length(batch)

    async def scenario() -> list[Ticket | BaseException]:
        feeder = batcher(threads=1)
        feeder.start()
        batches = [[[n]] for n in range(20)] + [[[50], [13], [51]]]
        waiting = [feeder.submit(fragile, batch) for batch in batches]
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        await feeder.close()
        return outcomes

    outcomes = asyncio.run(scenario())

    failed = {n for n, outcome in enumerate(outcomes) if isinstance(outcome, ModelFailed)}
    assert failed == {13, 20}
    assert all(results(outcome) == [[n, 1]] for n, outcome in enumerate(outcomes) if isinstance(outcome, Ticket))
    assert "input 1, counted from 0" in str(outcomes[20])


def test_a_pass_that_the_memory_does_not_hold_is_made_smaller() -> None:
    """Its inputs get their results, and passes after it are no larger than what it was cut to."""
    sizes: list[int] = []

    def small(batch: Sequence[TokenIds]) -> F32:
        sizes.append(sum(map(len, batch)))
        if sizes[-1] > 600:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return first_and_length(batch)

    async def scenario() -> None:
        feeder = batcher(threads=1, max_batch_tokens=4_096)
        feeder.start()
        batch = [[n] * 64 for n in range(64)]
        assert results(await feeder.submit(small, batch)) == [[n, 64] for n in range(64)]
        assert max(sizes) > 3_000
        sizes.clear()
        assert results(await feeder.submit(small, batch)) == [[n, 64] for n in range(64)]
        assert max(sizes) <= 512
        await feeder.close()

    asyncio.run(scenario())


def test_memory_that_is_there_again_is_used_again() -> None:
    """After some passes that it held, larger ones are tried: one of them fails where the memory is not there yet."""
    sizes: list[int] = []
    room = 600

    def small(batch: Sequence[TokenIds]) -> F32:
        sizes.append(sum(map(len, batch)))
        if sizes[-1] > room:
            raise MemoryError
        return first_and_length(batch)

    async def most_of(feeder: Batcher, passes: int) -> int:
        sizes.clear()
        while len(sizes) < passes:
            await feeder.submit(small, [[1] * 64] * 64)
        return max(sizes)

    async def scenario() -> None:
        nonlocal room
        feeder = batcher(threads=1, max_batch_tokens=4_096)
        feeder.start()
        assert await most_of(feeder, 1) > room
        assert await most_of(feeder, PASSES_AGAIN // 2) <= room
        assert room < await most_of(feeder, 3 * PASSES_AGAIN) <= 4 * room
        assert sum(size > room for size in sizes) < 0.05 * len(sizes)
        room = 100_000
        assert await most_of(feeder, 6 * PASSES_AGAIN) > 3_000
        await feeder.close()

    asyncio.run(scenario())


def test_a_model_with_a_knee_is_given_passes_as_large() -> None:
    """Whatever others are given."""
    sizes: list[int] = []

    def large(batch: Sequence[TokenIds]) -> F32:
        sizes.append(sum(map(len, batch)))
        return first_and_length(batch)

    async def scenario() -> None:
        feeder = batcher(threads=1)
        feeder.start()
        cost = PassCost(fixed=1_000, padding=0, pair=0, knee=8_192)
        batch = [[n] * 64 for n in range(256)]
        assert results(await feeder.submit(large, batch, cost)) == [[n, 64] for n in range(256)]
        assert sorted(sizes, reverse=True)[0] > 4_096
        assert max(sizes) <= 8_192
        sizes.clear()
        await feeder.submit(large, batch)
        assert max(sizes) <= 64
        await feeder.close()

    asyncio.run(scenario())


def test_what_is_given_up_leaves_the_queue_and_never_runs() -> None:
    """A cancelled request makes room at once, and its inputs do not reach the model."""
    gate = threading.Event()
    seen: list[int] = []

    def blocked(batch: Sequence[TokenIds]) -> F32:
        gate.wait(timeout=30)
        seen.extend(ids[0] for ids in batch)
        return first_and_length(batch)

    async def scenario() -> None:
        feeder = batcher(threads=1, max_queue_tokens=100)
        feeder.start()
        first = asyncio.create_task(feeder.submit(blocked, [[1] * 10]))
        await asyncio.sleep(0.05)  # it is at the model
        given_up = asyncio.create_task(feeder.submit(blocked, [[2] * 90]))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await feeder.submit(blocked, [[3] * 90])
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        last = asyncio.create_task(feeder.submit(blocked, [[4] * 90]))
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(first, last)
        await feeder.close()

    asyncio.run(scenario())

    assert seen == [1, 4]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_hangs_or_dies_is_replaced() -> None:
    """What it was at fails, `failure` tells of it until the next pass, and the thread that follows serves."""
    gate = threading.Event()

    def hangs(batch: Sequence[TokenIds]) -> F32:
        gate.wait(timeout=30)
        return first_and_length(batch)

    def dies(batch: Sequence[TokenIds]) -> F32:
        raise SystemExit

    async def scenario() -> list[str | None]:
        feeder = batcher(threads=1, hang_s=0.2)
        feeder.start()
        said: list[str | None] = [feeder.failure()]
        for run in (hangs, dies):
            with pytest.raises(ModelFailed, match="did not come back"):
                await feeder.submit(run, [[1, 2]])
            said.append(feeder.failure())
            assert results(await feeder.submit(first_and_length, [[7, 7]])) == [[7, 2]]
        gate.set()
        deadline = asyncio.get_running_loop().time() + 10
        while feeder.failure() and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        said.append(feeder.failure())
        await feeder.close()
        return said

    well, hung, died, well_again = asyncio.run(scenario())

    assert (well, well_again) == (None, None)
    assert hung is not None
    assert "at one pass for over 0.2 s" in hung
    assert died is not None
    assert "has died" in died


def test_what_would_wait_too_long_is_refused() -> None:
    """Once the speed is known: by what waits before it; when it is done there is room again."""

    def slow(batch: Sequence[TokenIds]) -> F32:
        time.sleep(0.02)
        return first_and_length(batch)

    async def scenario() -> None:
        feeder = batcher(threads=1, max_batch_tokens=8, max_wait_s=0.1)
        feeder.start()
        await feeder.submit(slow, [[1] * 8])
        assert feeder.refusal() is None
        waiting = [asyncio.create_task(feeder.submit(slow, [[1] * 8])) for _ in range(40)]
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        refused = [outcome for outcome in outcomes if isinstance(outcome, Overloaded)]
        assert 0 < len(refused) < len(outcomes)
        assert "would wait" in str(refused[0])
        assert refused[0].retry_after_s
        assert len((await feeder.submit(slow, [[1] * 8])).results) == 1
        await feeder.close()

    asyncio.run(scenario())


def test_threads_in_the_background_are_nicer_than_their_process() -> None:
    """And no other thread is: they take the time that others leave."""

    def niceness(batch: Sequence[TokenIds]) -> list[int]:
        return [os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) for _ in batch]

    async def scenario(background: bool) -> list[int]:
        feeder = batcher(background=background)
        feeder.start()
        ticket = await feeder.submit(niceness, [[1]])
        await feeder.close()
        return ticket.results

    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert asyncio.run(scenario(background=False)) == [own]
    assert asyncio.run(scenario(background=True)) == [min(own + NICE, 19)]
