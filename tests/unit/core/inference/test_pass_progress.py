"""The watchdog of worker threads: which pass hangs, by a clock and a CPU time that the test sets."""

from __future__ import annotations

import asyncio
import queue
import threading

import pytest

from gateways.core.inference.pass_progress import PassProgress
from gateways.core.inference.worker_threads import WorkerThread, WorkerThreads
from tests.support.clock import Clock


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


def test_a_pass_that_begins_after_one_that_hung_does_not_hang() -> None:
    """The first one ended between the look at it and its replacement."""
    progress = PassProgress(60.0, 2.0)
    for second in range(1, 62):
        progress.observe(100.0, 100.0 + second, 5.0)

    assert progress.hangs(100.0)
    assert not progress.hangs(161.5)
