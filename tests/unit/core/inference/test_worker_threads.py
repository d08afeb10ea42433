"""Worker threads: a thread that hangs or dies is replaced, and bulk threads have a lower priority."""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import Sequence

import pytest

from gateways.core.backend import F32, TokenIds
from gateways.core.errors import ModelFailed, ModelHung
from gateways.core.host.thread_priority import NICE
from gateways.core.inference.batcher import Batcher
from gateways.core.inference.worker_threads import MAX_HUNG, WorkerThread, WorkerThreads
from tests.support.batcher import first_and_length, results, run_batcher
from tests.support.clock import Clock


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


class Passes:
    """A pool of one thread whose passes begin and end when the test says so, by a clock that the test sets."""

    HANG_S = 60.0

    def __init__(self) -> None:
        self.clock = Clock()
        self.cpu_s = 100.0
        self.lost_inputs: list[str] = []
        self._passes: queue.Queue[threading.Event | None] = queue.Queue()
        self._begins: queue.Queue[None] = queue.Queue()
        self._ends: queue.Queue[None] = queue.Queue()
        self.pool = WorkerThreads(
            1,
            self._work,
            lambda batch, _reason: self.lost_inputs.extend(batch),
            lambda _batches: None,
            self.HANG_S,
            clock=self.clock,
            cpu_clock=lambda _thread: self.cpu_s,
        )

    def elapse(self, seconds: int, cpu_share: float = 0.0) -> None:
        """Let time pass for a watchdog that looks each second. The thread gets a share of a core."""
        for _ in range(seconds):
            self.clock.now_s += 1
            self.cpu_s += cpu_share
            self.pool.replace_lost()

    def begin(self) -> threading.Event:
        """Return when the thread is in a pass; the event ends it."""
        end = threading.Event()
        self._passes.put(end)
        self._begins.get(timeout=10)
        return end

    def finish(self, end: threading.Event) -> None:
        """Return when the pass has ended."""
        end.set()
        self._ends.get(timeout=10)

    async def close(self) -> None:
        """End the thread."""
        self._passes.put(None)
        await self.pool.join()

    def _work(self, thread: WorkerThread[str]) -> None:
        while not thread.replaced and (end := self._passes.get()):
            thread.begin(["a text"])
            self._begins.put(None)
            end.wait(timeout=30)
            thread.end()
            self._ends.put(None)


@pytest.mark.parametrize("cpu_share", [0.0, 1.0])
def test_a_pass_may_take_as_long_as_the_limit(cpu_share: float) -> None:
    """A thread that stands still, or computes, for longer is replaced, and the inputs of that pass fail."""

    async def scenario() -> None:
        passes = Passes()
        passes.pool.start()
        end = passes.begin()
        passes.elapse(int(Passes.HANG_S), cpu_share)
        assert (passes.pool.failure(), passes.lost_inputs) == (None, [])

        while not passes.pool.failure() and passes.clock.now_s < 1_100:
            passes.elapse(1, cpu_share)
        assert "at one pass for over 60 s" in str(passes.pool.failure())
        assert passes.lost_inputs == ["a text"]
        passes.finish(end)
        await passes.close()

    asyncio.run(scenario())


def test_a_pass_that_waits_for_a_core_does_not_hang() -> None:
    """Threads of a higher priority leave it a hundredth of a core: it is slow for an hour, and not lost."""

    async def scenario() -> None:
        passes = Passes()
        passes.pool.start()
        end = passes.begin()
        passes.elapse(3_600, cpu_share=0.01)
        assert (passes.pool.failure(), passes.lost_inputs) == (None, [])
        passes.finish(end)
        await passes.close()

    asyncio.run(scenario())


def test_a_pause_of_the_process_is_no_hang() -> None:
    """A machine that slept for an hour finds its pass as it left it; one that hangs afterwards is still found."""

    async def scenario() -> None:
        passes = Passes()
        passes.pool.start()
        end = passes.begin()
        passes.elapse(10)
        passes.clock.now_s += 3_600
        passes.pool.replace_lost()
        passes.elapse(10)
        assert (passes.pool.failure(), passes.lost_inputs) == (None, [])

        passes.elapse(int(Passes.HANG_S))
        assert passes.lost_inputs == ["a text"]
        passes.finish(end)
        await passes.close()

    asyncio.run(scenario())


def test_a_loss_is_reported_until_the_successor_completed_a_pass() -> None:
    """A successor that is in its first pass may hang as well; one without work is no reason for doubt."""

    async def scenario() -> None:
        passes = Passes()
        passes.pool.start()
        hanging = passes.begin()
        passes.elapse(int(Passes.HANG_S) + 1)
        first = passes.begin()
        passes.pool.replace_lost()
        assert "at one pass" in str(passes.pool.failure())

        passes.finish(first)
        passes.pool.replace_lost()
        assert passes.pool.failure() is None
        passes.finish(hanging)
        await passes.close()

    asyncio.run(scenario())


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
