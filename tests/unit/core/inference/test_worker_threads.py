"""Worker threads: a thread that hangs or dies is replaced, and bulk threads have a lower priority."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence

import pytest

from gateways.core.backend import F32, TokenIds
from gateways.core.errors import ModelFailed, ModelHung
from gateways.core.host.thread_priority import NICE
from gateways.core.inference.batcher import Batcher
from gateways.core.inference.worker_threads import MAX_HUNG
from tests.support.batcher import first_and_length, results, run_batcher


async def recovered(batcher: Batcher) -> bool:
    """Wait up to 10 s until no thread is reported as lost."""
    deadline = asyncio.get_running_loop().time() + 10
    while batcher.failure() and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return batcher.failure() is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_hangs_or_dies_is_replaced() -> None:
    """Its inputs fail, `failure` reports it until the next pass, and the successor serves."""
    gate = threading.Event()

    def hangs(batch: Sequence[TokenIds]) -> F32:
        gate.wait(timeout=30)
        return first_and_length(batch)

    def dies(batch: Sequence[TokenIds]) -> F32:
        raise SystemExit

    async def scenario(batcher: Batcher) -> list[str | None]:
        failures: list[str | None] = [batcher.failure()]
        for run in (hangs, dies):
            with pytest.raises(ModelFailed, match="did not come back"):
                await batcher.submit(run, [[1, 2]])
            failures.append(batcher.failure())
            assert results(await batcher.submit(first_and_length, [[7, 7]])) == [[7, 2]]
        gate.set()
        assert await recovered(batcher)
        return failures

    before, hung, died = run_batcher(scenario, threads=1, hang_s=0.2)

    assert before is None
    assert hung is not None
    assert "at one pass for over 0.2 s" in hung
    assert died is not None
    assert "has died" in died


def test_results_that_come_after_the_replacement_are_discarded() -> None:
    """The request has failed by then; its late result changes nothing and stops nothing."""
    gate, late = threading.Event(), threading.Event()

    def hangs(batch: Sequence[TokenIds]) -> F32:
        gate.wait(timeout=30)
        late.set()
        return first_and_length(batch)

    async def scenario(batcher: Batcher) -> None:
        with pytest.raises(ModelFailed):
            await batcher.submit(hangs, [[1]])
        gate.set()
        await asyncio.to_thread(late.wait, 10)
        assert results(await batcher.submit(first_and_length, [[7, 7]])) == [[7, 2]]
        assert await recovered(batcher)

    run_batcher(scenario, threads=1, hang_s=0.2)


def test_the_half_beside_one_that_hangs_is_served() -> None:
    """A batch fails, its first half hangs: only that request fails, and another thread runs the second half."""
    gate, taken = threading.Event(), threading.Event()

    def waits(batch: Sequence[TokenIds]) -> F32:
        taken.set()
        gate.wait(timeout=30)
        return first_and_length(batch)

    def hangs_on_one(batch: Sequence[TokenIds]) -> F32:
        if len(batch) > 1:
            raise ValueError("unlucky")
        if batch[0][0] == 1:
            never.wait()
        return first_and_length(batch)

    never = threading.Event()

    async def scenario(batcher: Batcher) -> None:
        blocking = asyncio.create_task(batcher.submit(waits, [[9]]))
        await asyncio.to_thread(taken.wait, 10)
        guilty, innocent = (asyncio.create_task(batcher.submit(hangs_on_one, [[n]])) for n in (1, 2))
        await asyncio.sleep(0)
        gate.set()
        await blocking
        with pytest.raises(ModelHung):
            await guilty
        assert results(await asyncio.wait_for(innocent, 10)) == [[2, 1]]
        assert batcher.queued_tokens == 0
        never.set()

    run_batcher(scenario, threads=1, hang_s=0.5)


def test_a_thread_that_hangs_does_not_hold_up_a_stop() -> None:
    """The pool closes once the time of the pass is over, and what waited behind it is served."""
    never, taken = threading.Event(), threading.Event()

    def hangs(batch: Sequence[TokenIds]) -> F32:
        taken.set()
        never.wait()
        return first_and_length(batch)

    async def scenario(batcher: Batcher) -> None:
        hung = asyncio.create_task(batcher.submit(hangs, [[1]]))
        await asyncio.to_thread(taken.wait, 10)
        waiting = asyncio.create_task(batcher.submit(first_and_length, [[2]]))
        await asyncio.sleep(0)
        try:
            await asyncio.wait_for(batcher.close(), 10)
        finally:
            never.set()
        with pytest.raises(ModelHung):
            await hung
        assert results(await waiting) == [[2, 1]]

    run_batcher(scenario, threads=1, hang_s=0.3)


def test_after_some_threads_that_hang_only_a_restart_helps() -> None:
    """Each of them keeps its core, so no more of them are replaced, and `failure` says so for good."""
    gate = threading.Event()

    def hangs(batch: Sequence[TokenIds]) -> F32:
        gate.wait(timeout=30)
        return first_and_length(batch)

    async def scenario(batcher: Batcher) -> str | None:
        for _ in range(MAX_HUNG):
            with pytest.raises(ModelFailed):
                await batcher.submit(hangs, [[1]])
        await asyncio.sleep(0.2)
        failure = batcher.failure()
        gate.set()
        return failure

    assert "restart this process" in str(run_batcher(scenario, threads=1, hang_s=0.1))


def test_threads_in_the_background_are_nicer_than_their_process() -> None:
    """And no other thread is: they take the time that others leave."""

    def niceness(batch: Sequence[TokenIds]) -> list[int]:
        return [os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) for _ in batch]

    async def scenario(batcher: Batcher) -> list[int]:
        return (await batcher.submit(niceness, [[1]])).results

    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert run_batcher(scenario, background=False) == [own]
    assert run_batcher(scenario, background=True) == [min(own + NICE, 19)]
