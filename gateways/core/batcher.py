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
from typing import Any, TypeAlias

from gateways.core import memory, metrics
from gateways.core.backend import Lane
from gateways.core.errors import BackendUnavailable, ModelFailed, Overloaded
from gateways.core.planning import PADDED, PassCost, plan

log = logging.getLogger(__name__)

# A model's way to run a batch: n inputs, each as long as it has tokens, to n results in their order.
Run: TypeAlias = Callable[[Sequence[Any]], Iterable[Any]]

# Work is spread over the model threads in shares no smaller than this: a few short texts are one thread's work.
SHARE_TOKENS = 64
# A model thread that has had nothing to do for so long returns the memory that its passes took and let go.
IDLE_S = 0.5
# One that is never idle does so after a pass of so many tokens, once the passes are short again; not all the time.
LONG_PASS_TOKENS, TRIM_EVERY_S = 1_024, 5.0
# Bulk work gets one batch in this many while interactive work keeps coming, so it never starves.
BULK_SHARE = 8


@dataclass(eq=False, slots=True)
class Ticket:
    """One request in the queue: its n results, filled as batches finish."""

    run: Run
    cost: PassCost
    results: list[Any]
    pending: int
    settled: asyncio.Future[None]
    queued_s: float
    started_s: float = 0.0
    finished_s: float = 0.0
    error: Exception | None = None
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
    """

    def __init__(self, *, threads: int, max_batch_tokens: int, max_queue_tokens: int) -> None:
        self._max_batch_tokens = max_batch_tokens
        self._max_queue_tokens = max_queue_tokens
        self._queues: dict[Lane, _Queue] = {"interactive": _Queue(), "bulk": _Queue()}
        self._waiting_tokens = 0
        self._tokens_per_s = 1_000.0
        self._interactive_in_a_row = 0
        self._held_memory = False
        self._held_much = False
        self._trimmed_s = 0.0
        self._closing = False
        self._condition = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, name=f"model-{number}", daemon=True) for number in range(threads)
        ]

    def start(self) -> None:
        """Start the model threads, bound to the running loop."""
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()

    async def close(self) -> None:
        """Let the threads finish what is queued, and join them."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def failure(self) -> str | None:
        """Return why nothing would be encoded any more, None while all threads live."""
        dead = [thread.name for thread in self._threads if not thread.is_alive()]
        return f"{', '.join(dead)} has died" if dead else None

    async def submit(self, run: Run, batch: Sequence[Sized], lane: Lane, cost: PassCost = PADDED) -> Ticket:
        """
        Queue n inputs and wait for their n results.

        Raises Overloaded when the queue is full, ModelFailed when the model broke on these inputs.
        """
        ticket = Ticket(
            run=run,
            cost=cost,
            results=[None] * len(batch),
            pending=len(batch),
            settled=self._loop.create_future(),
            queued_s=time.perf_counter(),
        )
        self._enqueue(ticket, batch, lane)
        try:
            await ticket.settled
        except asyncio.CancelledError:
            ticket.abandoned = True
            raise
        if ticket.error:
            raise ModelFailed("the model failed on this input; the server's log has the cause") from ticket.error
        return ticket

    def _enqueue(self, ticket: Ticket, batch: Sequence[Sized], lane: Lane) -> None:
        tokens = sum(map(len, batch))
        with self._condition:
            if self._closing:
                raise BackendUnavailable("this server is stopping", retry_after_s=1)
            if self._waiting_tokens and self._waiting_tokens + tokens > self._max_queue_tokens:
                raise Overloaded(
                    f"{self._waiting_tokens} tokens wait already and {self._max_queue_tokens} may; retry later",
                    retry_after_s=max(1, math.ceil(self._waiting_tokens / self._tokens_per_s)),
                )
            self._waiting_tokens += tokens
            self._queues[lane].arrived.extend(Row(ticket, at, item) for at, item in enumerate(batch))
            self._condition.notify(len(batch))
        metrics.queue_tokens.set(self._waiting_tokens)

    def _work(self) -> None:
        while (batch := self._take()) is not None:
            self._run(batch)
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
            while not (queue := self._next_queue()):
                if self._closing:
                    return None
                if not self._condition.wait(IDLE_S if self._held_memory else None) and self._held_memory:
                    self._held_memory = False
                    memory.trim()
            if not queue.planned:
                self._plan(queue)
            batch = queue.planned.popleft()
            self._waiting_tokens -= sum(map(len, batch))
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
        """Plan all that arrived, each model's rows for themselves, split so that every model thread gets a share."""
        tokens = sum(map(len, queue.arrived))
        share = max(SHARE_TOKENS, math.ceil(tokens / len(self._threads)))
        by_run: dict[Run, list[Row]] = {}
        for row in queue.arrived:
            by_run.setdefault(row.ticket.run, []).append(row)
        for rows in by_run.values():
            queue.planned.extend(plan(rows, min(share, self._max_batch_tokens), rows[0].ticket.cost))
        queue.arrived.clear()

    def _run(self, batch: list[Row]) -> None:
        rows = [row for row in batch if not (row.ticket.abandoned or row.ticket.error)]
        if not rows:
            return
        started_s = time.perf_counter()
        for row in rows:
            row.ticket.started_s = row.ticket.started_s or started_s
        try:
            results = rows[0].ticket.run([row.item for row in rows])
        except Exception as error:
            log.exception("a batch of %d inputs failed", len(rows))
            self._settle([row.ticket for row in rows], error)
            return
        elapsed_s = time.perf_counter() - started_s
        tokens = sum(map(len, rows))
        self._tokens_per_s += 0.1 * (len(self._threads) * tokens / elapsed_s - self._tokens_per_s)
        metrics.forward(len(rows), tokens)
        self._deliver(rows, results)

    def _deliver(self, rows: list[Row], results: Iterable[Any]) -> None:
        finished = []
        with self._condition:  # two threads may hold rows of one ticket
            for row, result in zip(rows, results, strict=True):
                row.ticket.results[row.position] = result
                row.ticket.pending -= 1
                if not row.ticket.pending:
                    finished.append(row.ticket)
        self._settle(finished, None)

    def _settle(self, tickets: list[Ticket], error: Exception | None) -> None:
        now_s = time.perf_counter()
        for ticket in tickets:
            ticket.finished_s = now_s
            ticket.error = error
        if tickets:
            self._loop.call_soon_threadsafe(_wake, tickets)


def _wake(tickets: list[Ticket]) -> None:
    for ticket in tickets:
        if not ticket.settled.done():
            ticket.settled.set_result(None)
