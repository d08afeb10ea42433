"""Worker threads with a watchdog: a thread that hangs or dies is replaced, and the requests of its pass fail."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from gateways.core.host.thread_priority import be_nice
from gateways.core.inference.pass_progress import PassProgress, thread_cpu_s
from gateways.core.observability import metrics

log = logging.getLogger(__name__)
T = TypeVar("T")

WATCH_EVERY_S = 1.0
# A thread that hangs cannot be stopped and keeps its core. After three of them only a restart of the process helps.
MAX_HUNG = 3


class WorkerThread(Generic[T]):
    """
    One thread, the batch of the pass that it is in, and the batches that it took and has not begun.

    `since_s` is the start of the pass, `passes` the number of passes so far. Results of a `replaced` thread are
    discarded. The methods may be called from the thread and from the watchdog.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[WorkerThread[T]], None],
        progress: PassProgress,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.progress = progress
        self.thread = threading.Thread(target=work, args=(self,), name=name, daemon=True)
        self.batch: Sequence[T] = ()
        self.since_s = 0.0
        self.passes = 0
        self.replaced = False
        self._clock = clock
        self._backlog: list[Sequence[T]] = []
        self._lock = threading.Lock()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start of the pass."""
        return self._clock() - self.since_s

    def begin(self, batch: Sequence[T]) -> bool:
        """Record the start of a pass over `batch`. Returns False if the thread was replaced."""
        with self._lock:
            if not self.replaced:
                self.since_s, self.batch = self._clock(), batch
            return not self.replaced

    def end(self, *backlog: Sequence[T]) -> bool:
        """
        Record the end of the pass, and the batches to run after it, in this order.

        Returns False if the thread was replaced: the results do not count, and neither does `backlog`.
        """
        with self._lock:
            self.batch = ()
            self.passes += 1
            if not self.replaced:
                self._backlog += reversed(backlog)
            return not self.replaced

    def begin_next(self) -> Sequence[T]:
        """Record the start of a pass over the next batch of the backlog and return it; () if there is none."""
        with self._lock:
            if self.replaced or not self._backlog:
                return ()
            self.since_s, self.batch = self._clock(), self._backlog.pop()
            return self.batch

    def replace(self) -> tuple[Sequence[T], list[Sequence[T]]]:
        """Discard later results. Returns the batch of the pass, and the batches that no pass has begun."""
        with self._lock:
            self.replaced = True
            backlog, self._backlog = self._backlog[::-1], []
            return self.batch, backlog


class WorkerThreads(Generic[T]):
    """
    A pool of `count` threads that run `work`.

    A thread that dies, or whose pass hangs for `hang_s`, is replaced. `fail` is then called with its batch and the
    reason, and `requeue` with the batches that it took and had not begun. Threads in the `background`
    have a niceness of 10, if the platform supports it: they get a tenth of a core that other threads want as well.
    """

    def __init__(
        self,
        count: int,
        work: Callable[[WorkerThread[T]], None],
        fail: Callable[[Sequence[T], str], None],
        requeue: Callable[[Sequence[Sequence[T]]], None],
        hang_s: float,
        *,
        background: bool = False,
        clock: Callable[[], float] = time.perf_counter,
        cpu_clock: Callable[[threading.Thread], float | None] = thread_cpu_s,
    ) -> None:
        """`clock` returns seconds, `cpu_clock` the CPU time of a thread in seconds."""
        self._work = work
        self._fail = fail
        self._requeue = requeue
        self._hang_s = hang_s
        self._background = background
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._interval_s = min(WATCH_EVERY_S, hang_s / 4)
        self._threads = [self._create_thread(number) for number in range(count)]
        self._hung = 0
        self._failure: str | None = None
        self._closing = False

    def start(self) -> None:
        """Start the threads, and the watchdog on the running loop."""
        for worker in self._threads:
            worker.thread.start()
        self._watchdog = asyncio.get_running_loop().create_task(self._watch())

    async def join(self) -> None:
        """Wait for the end of all threads that were not replaced."""
        self._closing = True
        for number in range(len(self._threads)):
            while self._threads[number].thread.is_alive() and not self._threads[number].replaced:
                await asyncio.to_thread(self._threads[number].thread.join, WATCH_EVERY_S / 20)
        self._watchdog.cancel()

    def failure(self) -> str | None:
        """Return why a thread was lost, until each successor completed a pass or has nothing to do; else None."""
        return next((reason for worker in self._threads if (reason := self._loss(worker))), self._failure)

    def replace_lost(self) -> None:
        """
        Observe all passes, and replace every thread that hangs or died.

        Without one, clear `failure` if each successor proved itself.
        """
        for worker in self._threads:
            self._observe(worker)
        losses = [(number, reason) for number, worker in enumerate(self._threads) if (reason := self._loss(worker))]
        for number, reason in losses:
            self._replace(number, reason)
        if not losses and self._hung < MAX_HUNG and all(w.passes or not w.batch for w in self._threads):
            self._failure = None

    def _create_thread(self, number: int) -> WorkerThread[T]:
        if self._background:
            return WorkerThread(f"bulk-{number}", self._work_nicely, self._create_progress(), self._clock)
        return WorkerThread(f"model-{number}", self._work, self._create_progress(), self._clock)

    def _create_progress(self) -> PassProgress:
        return PassProgress(self._hang_s, 2 * self._interval_s)

    def _work_nicely(self, worker: WorkerThread[T]) -> None:
        be_nice()
        self._work(worker)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            self.replace_lost()

    def _observe(self, worker: WorkerThread[T]) -> None:
        if worker.batch and worker.thread.is_alive():
            worker.progress.observe(worker.since_s, self._clock(), self._cpu_clock(worker.thread))

    def _loss(self, worker: WorkerThread[T]) -> str | None:
        if worker.replaced or not worker.thread.ident:
            return None
        if not worker.thread.is_alive():
            # While the pool closes, a thread ends as soon as the queue is empty.
            return None if self._closing and not worker.batch else f"{worker.thread.name} has died"
        if worker.batch and worker.progress.hangs(worker.since_s):
            return f"{worker.thread.name} has been at one pass for over {self._hang_s:g} s"
        return None

    def _replace(self, number: int, reason: str) -> None:
        lost = self._threads[number]
        batch, backlog = lost.replace()
        self._hung += lost.thread.is_alive()
        self._failure = reason
        metrics.model_thread_losses.inc()
        self._fail(batch, reason)
        self._requeue(backlog)
        if self._hung < MAX_HUNG:
            log.error("%s: its %d inputs fail, and another thread takes over", reason, len(batch))
            self._threads[number] = self._create_thread(number)
            self._threads[number].thread.start()
        else:
            self._failure = f"{reason}, and {self._hung - 1} before it: restart this process"
            log.critical(self._failure)
