"""The batcher as a whole: every input once, within the limits, its result back to its request."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateways.core.backend import F32, PassCost, TokenIds
from gateways.core.errors import BackendUnavailable, ModelFailed, Overloaded
from gateways.core.inference.batcher import Batcher
from gateways.core.inference.request_queue import QueuedRequest
from tests.support.batcher import first_and_length, results, run_batcher


@settings(deadline=None)  # it starts threads, which take their time on a busy machine
@given(st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=9), min_size=1, max_size=30))
def test_every_request_gets_its_own_vectors_in_its_own_order(requests: list[list[int]]) -> None:
    """However rows of different requests share batches and threads."""
    batches = [[[number] * length for length in lengths] for number, lengths in enumerate(requests)]

    async def scenario(batcher: Batcher) -> list[QueuedRequest]:
        return await asyncio.gather(*(batcher.submit(first_and_length, batch) for batch in batches))

    for background in (False, True):
        answers = run_batcher(scenario, background=background)
        for number, (answer, lengths) in enumerate(zip(answers, requests, strict=True)):
            assert results(answer) == [[number, length] for length in lengths]


def test_no_batch_mixes_two_models() -> None:
    """Each model is given its own rows only, though all wait in one queue."""

    def ones(batch: Sequence[TokenIds]) -> list[int]:
        assert all(ids[0] == 1 for ids in batch)
        return [1 for _ in batch]

    def twos(batch: Sequence[TokenIds]) -> list[int]:
        assert all(ids[0] == 2 for ids in batch)
        return [2 for _ in batch]

    async def scenario(batcher: Batcher) -> list[QueuedRequest]:
        models = {1: ones, 2: twos}
        return await asyncio.gather(*(batcher.submit(models[1 + n % 2], [[1 + n % 2] * 3] * 2) for n in range(20)))

    assert [request.results for request in run_batcher(scenario, threads=1)] == [[1 + n % 2] * 2 for n in range(20)]


def test_a_failing_batch_fails_its_requests_and_no_later_one() -> None:
    """The worker thread lives on."""

    def fragile(batch: Sequence[TokenIds]) -> F32:
        if any(ids[0] == 13 for ids in batch):
            raise ValueError("unlucky")
        return first_and_length(batch)

    async def scenario(batcher: Batcher) -> None:
        with pytest.raises(ModelFailed):
            await batcher.submit(fragile, [[13]])
        assert results(await batcher.submit(fragile, [[7, 7]])) == [[7, 2]]
        assert batcher.failure() is None

    run_batcher(scenario, threads=1)


def test_a_bad_input_fails_alone() -> None:
    """A batch that fails is bisected until the bad input is alone; the others get their results."""

    def fragile(batch: Sequence[TokenIds]) -> F32:
        if any(ids[0] == 13 for ids in batch):
            raise ValueError("unlucky")
        return first_and_length(batch)

    async def scenario(batcher: Batcher) -> list[QueuedRequest | BaseException]:
        batches = [[[n]] for n in range(20)] + [[[50], [13], [51]]]
        return await asyncio.gather(*(batcher.submit(fragile, batch) for batch in batches), return_exceptions=True)

    outcomes = run_batcher(scenario, threads=1)

    assert {n for n, outcome in enumerate(outcomes) if isinstance(outcome, ModelFailed)} == {13, 20}
    answers = {n: outcome for n, outcome in enumerate(outcomes) if isinstance(outcome, QueuedRequest)}
    assert len(answers) == 19
    assert all(results(answer) == [[n, 1]] for n, answer in answers.items())
    assert "input 1, counted from 0" in str(outcomes[20])


def test_a_full_queue_refuses_with_a_time_to_come_back() -> None:
    """Overload is told at once, not suffered."""
    gate = threading.Event()

    def blocked(batch: Sequence[TokenIds]) -> F32:
        gate.wait(timeout=30)
        return first_and_length(batch)

    async def scenario(batcher: Batcher) -> list[QueuedRequest | BaseException]:
        submitted = asyncio.gather(*(batcher.submit(blocked, [[1] * 60]) for _ in range(10)), return_exceptions=True)
        await asyncio.sleep(0)
        gate.set()
        return await submitted

    outcomes = run_batcher(scenario, threads=1, max_queue_tokens=100)

    refused = [outcome for outcome in outcomes if isinstance(outcome, Overloaded)]
    assert refused
    assert len(refused) < len(outcomes)
    assert all(int(error.headers()["Retry-After"]) >= 1 for error in refused)


def test_what_would_wait_too_long_is_refused() -> None:
    """Once the speed is known: by what waits before it; when it is done there is room again."""

    def slow(batch: Sequence[TokenIds]) -> F32:
        time.sleep(0.02)
        return first_and_length(batch)

    async def scenario(batcher: Batcher) -> None:
        await batcher.submit(slow, [[1] * 8])
        assert batcher.refusal() is None
        submitted = (batcher.submit(slow, [[1] * 8]) for _ in range(40))
        outcomes = await asyncio.gather(*submitted, return_exceptions=True)
        refused = [outcome for outcome in outcomes if isinstance(outcome, Overloaded)]
        assert 0 < len(refused) < len(outcomes)
        assert "would wait" in str(refused[0])
        assert refused[0].retry_after_s
        assert len((await batcher.submit(slow, [[1] * 8])).results) == 1

    run_batcher(scenario, threads=1, max_batch_tokens=8, max_wait_s=0.1)


def test_an_idle_thread_counts_as_capacity() -> None:
    """Two threads of 400 tokens per second work off 80 tokens in 0.1 s, though only one was busy before."""

    def slow(batch: Sequence[TokenIds]) -> F32:
        time.sleep(0.02 * len(batch))
        return first_and_length(batch)

    async def scenario(batcher: Batcher) -> None:
        for _ in range(15):
            await batcher.submit(slow, [[1] * 8])
        assert batcher.refusal(before=80, within_s=0.8 * 0.1)
        assert batcher.refusal(before=80, within_s=4 * 0.1) is None

    run_batcher(scenario, threads=2, max_batch_tokens=8)


def test_a_model_with_a_knee_is_given_passes_as_large() -> None:
    """Whatever others are given."""
    sizes: list[int] = []

    def large(batch: Sequence[TokenIds]) -> F32:
        sizes.append(sum(map(len, batch)))
        return first_and_length(batch)

    async def scenario(batcher: Batcher) -> None:
        cost = PassCost(fixed=1_000, padding=0, pair=0, knee=8_192)
        batch = [[n] * 64 for n in range(256)]
        assert results(await batcher.submit(large, batch, cost)) == [[n, 64] for n in range(256)]
        assert 4_096 < max(sizes) <= 8_192
        sizes.clear()
        await batcher.submit(large, batch)
        assert max(sizes) <= 64

    run_batcher(scenario, threads=1)


def test_a_cancelled_request_leaves_the_queue_and_never_runs() -> None:
    """It makes room at once, and its inputs do not reach the model."""
    gate = threading.Event()
    seen: list[int] = []

    def blocked(batch: Sequence[TokenIds]) -> F32:
        gate.wait(timeout=30)
        seen.extend(ids[0] for ids in batch)
        return first_and_length(batch)

    async def scenario(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.submit(blocked, [[1] * 10]))
        await asyncio.sleep(0)
        while batcher.queued_tokens:  # noqa: ASYNC110  until it is at the model
            await asyncio.sleep(0.01)
        cancelled = asyncio.create_task(batcher.submit(blocked, [[2] * 90]))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await batcher.submit(blocked, [[3] * 90])
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        assert batcher.queued_tokens == 0
        last = asyncio.create_task(batcher.submit(blocked, [[4] * 90]))
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(first, last)

    run_batcher(scenario, threads=1, max_queue_tokens=100)

    assert seen == [1, 4]


def test_a_batcher_that_closes_runs_what_is_queued_and_takes_no_more() -> None:
    """A request that came in time gets its result, a later one 503 and a time to come back."""

    def slow(batch: Sequence[TokenIds]) -> F32:
        time.sleep(0.02)
        return first_and_length(batch)

    async def scenario(batcher: Batcher) -> None:
        submitted = [asyncio.create_task(batcher.submit(slow, [[n] * 64])) for n in range(5)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(batcher.close())
        await asyncio.sleep(0)
        with pytest.raises(BackendUnavailable, match="stopping") as refused:
            await batcher.submit(slow, [[9]])
        await closing
        assert refused.value.retry_after_s == 1
        assert [results(await request) for request in submitted] == [[[n, 64]] for n in range(5)]

    run_batcher(scenario, threads=1)
