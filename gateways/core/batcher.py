"""Dynamic batching: what waits is what the model thread takes next. No timer."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence, Sized
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, TypeAlias

from gateways.core import memory, metrics
from gateways.core.backend import Lane
from gateways.core.errors import BackendUnavailable, GatewayError, ModelFailed, ModelHung, Overloaded
from gateways.core.model_threads import ModelThread, ModelThreads
from gateways.core.planning import PADDED, PassCost, plan
from gateways.core.speed import Speed

log = logging.getLogger(__name__)

# A model's way to run a batch: n inputs, each as long as it has tokens, to n results in their order.
Run: TypeAlias = Callable[[Sequence[Any]], Iterable[Any]]

# Work is spread over the model threads in shares no smaller than this: a few short texts are one thread's work.
# A share has room for padding, or there would be one more of them than threads.
SHARE_TOKENS, SHARE_ROOM = 64, 1.25
# Bulk work gets one batch in this many while interactive work keeps coming, so it never starves; and where some came
# lately, its batches are short, for the next request may have to wait for one to end.
BULK_SHARE = 8
LATELY_S, BULK_TOKENS_LATELY = 1.0, 128
# How fast it gets on is measured over a few such turns.
BULK_WINDOW_S = 1.0
# A model thread that has had nothing to do for so long returns the memory that its passes took and let go.
IDLE_S = 0.5
# One that is never idle does so after a pass of so many tokens, once the passes are short again; not all the time.
LONG_PASS_TOKENS, TRIM_EVERY_S = 1_024, 5.0


@dataclass(eq=False, slots=True)
class Ticket:
    """One request in the queue: its n results, filled as batches finish; `waiting_tokens` are in no batch yet."""

    run: Run
    cost: PassCost
    lane: Lane
    results: list[Any]
    pending: int
    waiting_tokens: int
    settled: asyncio.Future[None]
    queued_s: float
    started_s: float = 0.0
    finished_s: float = 0.0
    error: GatewayError | None = None
    abandoned: bool = False


@dataclass(eq=False, slots=True)
class Row:
    """One input of a ticket."""

    ticket: Ticket
    position: int
    item: Sized

    def __len__(self) -> int:
        """Return its number of tokens."""
        return len(self.item)

    def wanted(self) -> bool:
        """Whether anybody still waits for its result."""
        return not (self.ticket.abandoned or self.ticket.error)


@dataclass(eq=False, slots=True)
class _Queue:
    arrived: deque[Row] = field(default_factory=deque)
    planned: deque[list[Row]] = field(default_factory=deque)

    def __bool__(self) -> bool:
        return bool(self.planned or self.arrived)


class Batcher:
    """
    Feed `threads` model threads from two lanes, whichever models the work is for.

    A request brings the `run` of its model, which is called from the model threads only; no batch mixes two.
    Everything else is called on the event loop that `start` ran on.

    Refused are requests beyond `max_queue_tokens`, and those that would wait longer than their lane may, `max_wait_s`
    or `max_bulk_wait_s`. A thread that is at one pass for over `hang_s`, or that died, fails it and is replaced.
    """

    def __init__(
        self,
        *,
        threads: int,
        max_batch_tokens: int,
        max_queue_tokens: int,
        max_wait_s: float = math.inf,
        max_bulk_wait_s: float = math.inf,
        hang_s: float = math.inf,
    ) -> None:
        self._max_batch_tokens = max_batch_tokens
        self._max_queue_tokens = max_queue_tokens
        self._max_wait_s: dict[Lane, float] = {"interactive": max_wait_s, "bulk": max_bulk_wait_s}
        self._queues: dict[Lane, _Queue] = {"interactive": _Queue(), "bulk": _Queue()}
        self._waiting_tokens: dict[Lane, int] = {"interactive": 0, "bulk": 0}
        # Of passes; and of bulk work, which has only what queries leave.
        self._tokens_per_s, self._bulk_speed = 0.0, Speed(BULK_WINDOW_S)
        self._interactive_in_a_row = 0
        self._last_interactive_s = -math.inf
        self._held_memory = False
        self._held_much = False
        self._trimmed_s = 0.0
        self._closing = False
        self._condition = threading.Condition()
        self._threads = ModelThreads(threads, self._work, self._lose, hang_s)

    def start(self) -> None:
        """Start the model threads, bound to the running loop."""
        self._loop = asyncio.get_running_loop()
        self._threads.start()
        metrics.queue_tokens.set_function(lambda: sum(self._waiting_tokens.values()))

    async def close(self) -> None:
        """Let the threads finish what is queued, and join those that can be."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()
        await self._threads.join()

    def failure(self) -> str | None:
        """Return why inputs may not be encoded any more, None while all threads do their work."""
        return self._threads.failure()

    def refusal(self) -> Overloaded | None:
        """Return what an interactive request would be refused with now, None while it would not be."""
        return self._refusal("interactive", 0)

    async def submit(self, run: Run, batch: Sequence[Sized], lane: Lane, cost: PassCost = PADDED) -> Ticket:
        """
        Queue n inputs and wait for their n results; when nobody waits any more, what is queued never runs.

        Raises Overloaded when too much waits, ModelFailed when the model broke on one of these inputs.
        """
        ticket = Ticket(
            run=run,
            cost=cost,
            lane=lane,
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

    def _enqueue(self, ticket: Ticket, batch: Sequence[Sized]) -> None:
        with self._condition:
            if self._closing:
                raise BackendUnavailable("this server is stopping", retry_after_s=1)
            if refused := self._refusal(ticket.lane, ticket.waiting_tokens):
                raise refused
            if ticket.lane == "bulk" and not self._waiting_tokens["bulk"]:
                self._bulk_speed = Speed(BULK_WINDOW_S)  # how fast it was among other queries says nothing
            self._waiting_tokens[ticket.lane] += ticket.waiting_tokens
            if ticket.lane == "interactive":
                self._last_interactive_s = time.monotonic()
            self._queues[ticket.lane].arrived.extend(Row(ticket, at, item) for at, item in enumerate(batch))
            self._condition.notify(len(batch))

    def _refusal(self, lane: Lane, tokens: int) -> Overloaded | None:
        waiting = sum(self._waiting_tokens.values())
        if waiting and waiting + tokens > self._max_queue_tokens:
            said = f"{waiting} tokens wait already and {self._max_queue_tokens} may"
            return Overloaded(f"{said}; retry later", retry_after_s=self._seconds(waiting))
        # The speed is known once there was a pass; what one pass holds may always wait.
        ahead, most_s = self._waiting_tokens[lane], self._max_wait_s[lane]
        speed = self._bulk_speed.per_s if lane == "bulk" else self._tokens_per_s
        if speed and ahead > max(most_s * speed, self._max_batch_tokens):
            said = f"a request would wait {ahead / speed:.1f} s for the model and {most_s:g} s"
            return Overloaded(f"{said} is the most; retry later", retry_after_s=math.ceil(ahead / speed))
        return None

    def _seconds(self, tokens: int) -> int:
        return max(1, math.ceil(tokens / self._tokens_per_s)) if self._tokens_per_s else 1

    def _forget(self, ticket: Ticket) -> None:
        """Count what is left of a ticket as waiting no more; its rows are passed over. Called with the lock."""
        self._waiting_tokens[ticket.lane] -= ticket.waiting_tokens
        ticket.waiting_tokens = 0

    def _work(self, thread: ModelThread[Row]) -> None:
        while not thread.replaced and (batch := self._take()) is not None:
            self._run(thread, batch)
            self._trim_if_short_again(sum(map(len, batch)))

    def _trim_if_short_again(self, tokens: int) -> None:
        now_s = time.monotonic()
        if tokens >= LONG_PASS_TOKENS:
            self._held_much = True
        elif self._held_much and now_s - self._trimmed_s >= TRIM_EVERY_S:
            self._held_much, self._trimmed_s = False, now_s
            memory.trim()

    def _take(self) -> list[Row] | None:
        """Wait for work and return the next batch, None when closing and drained."""
        with self._condition:
            while True:
                while not (queue := self._next_queue()):
                    if self._closing:
                        return None
                    if not self._condition.wait(IDLE_S if self._held_memory else None) and self._held_memory:
                        self._held_memory = False
                        memory.trim()
                if not queue.planned:
                    self._plan(queue)
                # What was given up since it was planned is not run.
                batch = [row for row in queue.planned.popleft() if row.wanted()] if queue.planned else []
                if batch:
                    break
            for row in batch:
                row.ticket.waiting_tokens -= len(row)
                self._waiting_tokens[row.ticket.lane] -= len(row)
            self._held_memory = True
            return batch

    def _next_queue(self) -> _Queue | None:
        interactive, bulk = self._queues["interactive"], self._queues["bulk"]
        if interactive and not (bulk and self._interactive_in_a_row >= BULK_SHARE):
            self._interactive_in_a_row += 1
            return interactive
        self._interactive_in_a_row = 0
        return bulk or None

    def _plan(self, queue: _Queue) -> None:
        """Plan what arrived, each model's rows for themselves, split so that every model thread gets a share."""
        rows = [row for row in queue.arrived if row.wanted()]
        queue.arrived.clear()
        most = self._max_batch_tokens
        if queue is self._queues["interactive"]:
            # The oldest go first, as many as fit in a pass of each thread: who came later does not overtake them.
            oldest = _fitting(rows, int(most * self._threads.count / SHARE_ROOM))
            queue.arrived.extend(rows[oldest:])
            rows = rows[:oldest]
        elif time.monotonic() - self._last_interactive_s < LATELY_S:
            most = min(most, BULK_TOKENS_LATELY)
        if self._threads.count > 1:
            share = SHARE_ROOM * sum(map(len, rows)) / self._threads.count
            most = min(max(SHARE_TOKENS, math.ceil(share)), most)
        by_run: dict[Run, list[Row]] = {}
        for row in rows:
            by_run.setdefault(row.ticket.run, []).append(row)
        for its in by_run.values():
            queue.planned.extend(plan(its, most, its[0].ticket.cost))

    def _run(self, thread: ModelThread[Row], rows: Sequence[Row]) -> None:
        """Run a batch; where the model breaks on it, each half for itself: one bad input fails alone."""
        rows = [row for row in rows if row.wanted()]
        if not rows or thread.replaced:
            return
        thread.begin(rows)
        for row in rows:
            row.ticket.started_s = row.ticket.started_s or thread.since_s
        try:
            results = list(rows[0].ticket.run([row.item for row in rows]))
            if len(results) != len(rows):
                raise ValueError(f"{len(results)} results for {len(rows)} inputs")
        except Exception as error:
            self._break(thread, rows, error)
            return
        tokens = sum(map(len, rows))
        speed = self._threads.count * tokens / (time.perf_counter() - thread.since_s)
        self._tokens_per_s += (0.1 if self._tokens_per_s else 1.0) * (speed - self._tokens_per_s)
        if rows[0].ticket.lane == "bulk":
            self._bulk_speed.did(tokens)
        computed = rows[0].ticket.cost.computed(len(rows), max(map(len, rows)), tokens)
        metrics.forward(len(rows), tokens, computed - tokens)
        self._deliver(thread, rows, results)

    def _break(self, thread: ModelThread[Row], rows: Sequence[Row], error: Exception) -> None:
        if not thread.end():
            return  # they have failed already
        if len(rows) > 1:
            log.warning("a batch of %d inputs failed, each half is tried: %s", len(rows), error)
            self._run(thread, rows[: len(rows) // 2])
            self._run(thread, rows[len(rows) // 2 :])
        else:
            log.error("the model failed on an input of %d tokens", len(rows[0]), exc_info=error)
            self._fail(rows, ModelFailed(f"the model failed on {_named(rows[0])}; the server's log has the cause"))

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
            self._loop.call_soon_threadsafe(_wake, tickets)


def _fitting(rows: Sequence[Row], tokens: int) -> int:
    """Return how many of the first rows have so many tokens together; one at least."""
    sizes = accumulate(map(len, rows))
    return max(1, sum(size <= tokens for size in sizes))


def _named(row: Row) -> str:
    """Return what an input is called, by its place where there are several."""
    return f"input {row.position}, counted from 0" if len(row.ticket.results) > 1 else "this input"


def _wake(tickets: list[Ticket]) -> None:
    for ticket in tickets:
        if not ticket.settled.done():
            ticket.settled.set_result(None)
