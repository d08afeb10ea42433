"""Model threads, watched: one that hangs or dies fails what it was at, and another takes its place."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from gateways.core import metrics
from gateways.core.background import be_nice

log = logging.getLogger(__name__)
T = TypeVar("T")

WATCH_EVERY_S = 1.0
# A thread that hangs is left behind, with its core: after so many only another process helps.
MOST_HUNG = 3


class ModelThread(Generic[T]):
    """One thread, and what it is at since when; once it is `replaced`, what it still does counts for nothing."""

    def __init__(self, name: str, work: Callable[[ModelThread[T]], None]) -> None:
        self.thread = threading.Thread(target=work, args=(self,), name=name, daemon=True)
        self.rows: Sequence[T] = ()
        self.since_s = 0.0
        self.passes = 0
        self.replaced = False

    def begin(self, rows: Sequence[T]) -> None:
        """Say that a pass over these begins."""
        self.since_s, self.rows = time.perf_counter(), rows

    def end(self) -> bool:
        """Say that it is over; False when it lasted too long to count."""
        self.rows = ()
        self.passes += 1
        return not self.replaced


class ModelThreads(Generic[T]):
    """
    So many threads that do `work`; one that is at a pass for over `hang_s`, or that died, is replaced.

    `lose` is told which rows it was at, and why they are lost. Both are given by the batcher. In the `background`
    they get a tenth of a core that others want too, where the system lets a thread be nicer than its process.
    """

    def __init__(
        self,
        count: int,
        work: Callable[[ModelThread[T]], None],
        lose: Callable[[Sequence[T], str], None],
        hang_s: float,
        *,
        background: bool = False,
    ) -> None:
        self.count = count
        self._work = work
        self._lose = lose
        self._hang_s = hang_s
        self._background = background
        self._threads = [self._new(number) for number in range(count)]
        self._hung = 0
        self._doubt: str | None = None
        self._closing = False

    def start(self) -> None:
        """Start them, and watch over them from the running loop."""
        for one in self._threads:
            one.thread.start()
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def join(self) -> None:
        """Return once all have ended, those left behind aside."""
        self._closing = True
        for at in range(self.count):
            while self._threads[at].thread.is_alive() and not self._threads[at].replaced:
                await asyncio.to_thread(self._threads[at].thread.join, WATCH_EVERY_S / 20)
        self._watching.cancel()

    def failure(self) -> str | None:
        """Return what is wrong with a thread, or was with one until its successor has shown that it does better."""
        return next((why for one in self._threads if (why := self._lost(one))), self._doubt)

    def _new(self, number: int) -> ModelThread[T]:
        if self._background:
            return ModelThread(f"bulk-{number}", self._nicely)
        return ModelThread(f"model-{number}", self._work)

    def _nicely(self, thread: ModelThread[T]) -> None:
        be_nice()
        self._work(thread)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(min(WATCH_EVERY_S, self._hang_s / 4))
            lost = [(number, why) for number, one in enumerate(self._threads) if (why := self._lost(one))]
            for number, why in lost:
                self._replace(number, why)
            if not lost and self._hung < MOST_HUNG and all(one.passes or not one.rows for one in self._threads):
                self._doubt = None

    def _lost(self, one: ModelThread[T]) -> str | None:
        if one.replaced or self._closing or not one.thread.ident:
            return None
        if not one.thread.is_alive():
            return f"{one.thread.name} has died"
        if one.rows and time.perf_counter() - one.since_s > self._hang_s:
            return f"{one.thread.name} has been at one pass for over {self._hang_s:g} s"
        return None

    def _replace(self, number: int, why: str) -> None:
        old = self._threads[number]
        old.replaced, rows = True, old.rows
        self._hung += old.thread.is_alive()
        self._doubt = why
        metrics.model_thread_losses.inc()
        self._lose(rows, why)
        if self._hung < MOST_HUNG:
            log.error("%s: its %d inputs fail, and another thread takes over", why, len(rows))
            self._threads[number] = self._new(number)
            self._threads[number].thread.start()
        else:
            self._doubt = f"{why}, and {self._hung - 1} before it: restart this process"
            log.critical(self._doubt)
