"""Dynamic batching: what waits in a lane is what its model threads take next. No timer."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterable, Sequence, Sized
from typing import Any

from gateways.core import metrics
from gateways.core.errors import BackendUnavailable, ModelFailed, ModelHung, Overloaded
from gateways.core.model_threads import ModelThread, ModelThreads
from gateways.core.pass_size import PassSize, out_of_memory
from gateways.core.planning import PADDED, PassCost, plan
from gateways.core.tickets import Row, Run, Ticket, fitting, wake

log = logging.getLogger(__name__)

# Work is spread over the model threads in shares no smaller than this: a few short texts are one thread's work.
# A share has room for padding, or there would be one more of them than threads. It is no smaller than what a pass
# costs by itself, which on a GPU is much.
SHARE_TOKENS, SHARE_ROOM = 64, 1.25
# How fast the threads get on is known from about so many seconds of passes.
SPEED_S = 0.25


class Batcher:
    """
    Feed model threads with what waits in one lane, whichever models the work is for.

    A request brings the `run` of its model, which is called from the model threads only; no batch mixes two.
    Everything else is called on the event loop that `start` ran on.

    The oldest go first, as many as fit in a pass of each thread: `max_batch_tokens`, or the knee of a model that has
    one. A pass that the memory does not hold is cut in halves, and the next ones are no larger than those. In the
    `background` all that waits is planned at once, and the threads get the time that others leave. Refused are
    requests beyond `max_queue_tokens`, and those that would wait longer than `max_wait_s`. A thread that is at one
    pass for over `hang_s`, or that died, fails it and is replaced.
    """

    def __init__(
        self,
        *,
        threads: int,
        max_batch_tokens: int,
        max_queue_tokens: int,
        max_wait_s: float = math.inf,
        hang_s: float = math.inf,
        background: bool = False,
    ) -> None:
        self._size = PassSize(max_batch_tokens)
        self._max_queue_tokens = max_queue_tokens
        self._max_wait_s = max_wait_s
        self._background = background
        self._arrived: deque[Row] = deque()
        self._planned: deque[list[Row]] = deque()
        self.waiting_tokens = 0
        self._tokens_per_s = 0.0
        self._closing = False
        self._condition = threading.Condition()
        self._threads = ModelThreads(threads, self._work, self._lose, hang_s, background=background)

    def start(self) -> None:
        """Start the model threads, bound to the running loop."""
        self._loop = asyncio.get_running_loop()
        self._threads.start()

    async def close(self) -> None:
        """Let the threads finish what is queued, and join those that can be."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()
        await self._threads.join()

    def failure(self) -> str | None:
        """Return why inputs may not be encoded any more, None while all threads do their work."""
        return self._threads.failure()

    async def submit(self, run: Run, batch: Sequence[Sized], cost: PassCost = PADDED) -> Ticket:
        """
        Queue n inputs and wait for their n results; when nobody waits any more, what is queued never runs.

        Raises Overloaded when too much waits, ModelFailed when the model broke on one of these inputs.
        """
        ticket = Ticket(
            run=run,
            cost=cost,
            results=[None] * len(batch),
            pending=len(batch),
            waiting_tokens=sum(map(len, batch)),
            settled=self._loop.create_future(),
            queued_s=time.perf_counter(),
        )
        self._enqueue(ticket, batch)
        try:
            await ticket.settled
        except asyncio.CancelledError:
            ticket.abandoned = True
            with self._condition:
                self._forget(ticket)
            raise
        if ticket.error:
            raise ticket.error
        return ticket

    def refusal(self, tokens: int = 0, within_s: float = math.inf, before: int = 0) -> Overloaded | None:
        """
        Return what a request of so many tokens would be refused with now, None while it would not be.

        Of the time that it may take, half is for waiting; so many tokens come `before` it and do not wait yet.
        """
        waiting, most_s = self.waiting_tokens + before, min(self._max_wait_s, within_s / 2)
        if waiting and waiting + tokens > self._max_queue_tokens:
            said = f"{waiting} tokens wait already and {self._max_queue_tokens} may"
            return Overloaded(f"{said}; retry later", retry_after_s=self._seconds(waiting))
        # The speed is known once there was a pass; what one pass holds may always wait.
        if self._tokens_per_s and waiting > max(most_s * self._tokens_per_s, self._size.most_tokens):
            said = f"a request would wait {waiting / self._tokens_per_s:.1f} s for the model and {most_s:g} s"
            return Overloaded(f"{said} is the most; retry later", retry_after_s=self._seconds(waiting))
        return None

    def _enqueue(self, ticket: Ticket, batch: Sequence[Sized]) -> None:
        with self._condition:
            if self._closing:
                raise BackendUnavailable("this server is stopping", retry_after_s=1)
            if refused := self.refusal(ticket.waiting_tokens):
                raise refused
            self.waiting_tokens += ticket.waiting_tokens
            self._arrived.extend(Row(ticket, at, item) for at, item in enumerate(batch))
            self._condition.notify(len(batch))

    def _seconds(self, tokens: int) -> int:
        return max(1, math.ceil(tokens / self._tokens_per_s)) if self._tokens_per_s else 1

    def _forget(self, ticket: Ticket) -> None:
        """Count what is left of a ticket as waiting no more; its rows are passed over. Called with the lock."""
        self.waiting_tokens -= ticket.waiting_tokens
        ticket.waiting_tokens = 0

    def _work(self, thread: ModelThread[Row]) -> None:
        while not thread.replaced and (batch := self._take()) is not None:
            self._run(thread, batch)

    def _take(self) -> list[Row] | None:
        """Wait for work and return the next batch, None when closing and drained."""
        with self._condition:
            while True:
                while not (self._planned or self._arrived):
                    if self._closing:
                        return None
                    self._condition.wait()
                if not self._planned:
                    self._plan()
                # What was given up since it was planned is not run.
                batch = [row for row in self._planned.popleft() if row.wanted()] if self._planned else []
                if batch:
                    break
            tokens = sum(map(len, batch))
            for row in batch:
                row.ticket.waiting_tokens -= len(row)
            self.waiting_tokens -= tokens
            return batch

    def _plan(self) -> None:
        """Plan what arrived, each model's rows for themselves, split so that every model thread gets a share."""
        rows = [row for row in self._arrived if row.wanted()]
        self._arrived.clear()
        if not rows:
            return
        first = rows[0].ticket.cost
        most = self._size.of(first)
        if not self._background:
            # Who came later does not overtake who came before.
            oldest = fitting(rows, int(most * self._threads.count / SHARE_ROOM))
            self._arrived.extend(rows[oldest:])
            rows = rows[:oldest]
        if self._threads.count > 1:
            share = SHARE_ROOM * sum(map(len, rows)) / self._threads.count
            most = min(max(SHARE_TOKENS, int(first.fixed), math.ceil(share)), most)
        by_run: dict[Run, list[Row]] = {}
        for row in rows:
            by_run.setdefault(row.ticket.run, []).append(row)
        for its in by_run.values():
            cost = its[0].ticket.cost
            self._planned.extend(plan(its, min(most, self._size.of(cost)), cost))

    def _run(self, thread: ModelThread[Row], rows: Sequence[Row]) -> None:
        """Run a batch; where the model breaks on it, each half for itself: one bad input fails alone."""
        rows = [row for row in rows if row.wanted()]
        if not rows or thread.replaced:
            return
        thread.begin(rows)
        for row in rows:
            row.ticket.started_s = row.ticket.started_s or thread.since_s
        broken: Exception | None = None
        try:
            results = list(rows[0].ticket.run([row.item for row in rows]))
            if len(results) != len(rows):
                raise ValueError(f"{len(results)} results for {len(rows)} inputs")
        except Exception as error:
            broken = error
        if broken:  # outside of the handler, which would keep what the pass held while its halves are tried
            self._break(thread, rows, broken)
            return
        tokens = sum(map(len, rows))
        self._measure(tokens, time.perf_counter() - thread.since_s)
        self._size.held(tokens)
        computed = rows[0].ticket.cost.computed(len(rows), max(map(len, rows)), tokens)
        metrics.forward(len(rows), tokens, computed - tokens)
        self._deliver(thread, rows, results)

    def _measure(self, tokens: int, took_s: float) -> None:
        """Learn from a pass how fast the threads get on: as much as it lasted, since that changes with other work."""
        weight = min(1.0, took_s / SPEED_S) if self._tokens_per_s else 1.0
        self._tokens_per_s += weight * (self._threads.count * tokens / took_s - self._tokens_per_s)

    def _break(self, thread: ModelThread[Row], rows: Sequence[Row], error: Exception) -> None:
        if not thread.end():
            return  # they have failed already
        if len(rows) > 1:
            if out_of_memory(error):
                self._size.too_large(sum(map(len, rows)))
            log.warning("a batch of %d inputs failed, each half is tried: %s", len(rows), error)
            traceback.clear_frames(error.__traceback__)  # the memory of a half-done pass is in their variables
            self._run(thread, rows[: len(rows) // 2])
            self._run(thread, rows[len(rows) // 2 :])
        else:
            log.error("the model failed on an input of %d tokens", len(rows[0]), exc_info=error)
            self._fail(rows, ModelFailed(f"the model failed on {rows[0].name}; the server's log has the cause"))

    def _deliver(self, thread: ModelThread[Row], rows: Sequence[Row], results: Iterable[Any]) -> None:
        finished = []
        with self._condition:  # two threads may hold rows of one ticket
            if not thread.end():
                return  # it came back, too late
            for row, result in zip(rows, results, strict=True):
                row.ticket.results[row.position] = result
                row.ticket.pending -= 1
                if not row.ticket.pending:
                    finished.append(row.ticket)
        self._settle(finished)

    def _lose(self, rows: Sequence[Row], why: str) -> None:
        self._fail(rows, ModelHung(f"the model did not come back from a pass with this input: {why}"))

    def _fail(self, rows: Sequence[Row], error: ModelFailed) -> None:
        tickets = list({id(row.ticket): row.ticket for row in rows}.values())
        with self._condition:
            for ticket in tickets:
                ticket.error = ticket.error or error
                self._forget(ticket)
        self._settle(tickets)

    def _settle(self, tickets: list[Ticket]) -> None:
        now_s = time.perf_counter()
        for ticket in tickets:
            ticket.finished_s = now_s
        if tickets:
            self._loop.call_soon_threadsafe(wake, tickets)
