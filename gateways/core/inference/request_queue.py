"""The FIFO queue of a lane: requests wait in it until worker threads take their inputs in batches."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence, Sized
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from gateways.core.backend import PassCost
from gateways.core.errors import GatewayError

# One forward pass of a model: n inputs, each as long as its number of tokens, to n results in the same order.
Run: TypeAlias = Callable[[Sequence[Any]], Iterable[Any]]


@dataclass(eq=False, slots=True)
class QueuedRequest:
    """
    A request for n results of one model.

    `results` fills as batches finish, `pending` counts those that are missing, and `settled` is done once all are
    there or the request failed. `queued_tokens` are those of its inputs that no worker thread took yet.
    """

    run: Run
    cost: PassCost
    results: list[Any]
    pending: int
    queued_tokens: int
    settled: asyncio.Future[None]
    queued_s: float
    started_s: float = 0.0
    finished_s: float = 0.0
    error: GatewayError | None = None
    cancelled: bool = False


@dataclass(eq=False, slots=True)
class QueuedInput:
    """One input of a request."""

    request: QueuedRequest
    position: int
    item: Sized

    def __len__(self) -> int:
        """Return its number of tokens."""
        return len(self.item)

    @property
    def live(self) -> bool:
        """Whether its result is still needed: the request is neither cancelled nor failed."""
        return not (self.request.cancelled or self.request.error)

    @property
    def name(self) -> str:
        """Its name in an error message, with its position if the request has several inputs."""
        return f"input {self.position}, counted from 0" if len(self.request.results) > 1 else "this input"


class Scheduler(Protocol):
    """Decides which inputs run next."""

    def schedule(self, arrivals: deque[QueuedInput]) -> list[list[QueuedInput]]:
        """Take inputs from the left of `arrivals`. Returns them as batches, in the order to run them."""
        ...


class RequestQueue:
    """
    Inputs in the order of their arrival, and the batches that the scheduler made of the oldest ones.

    The event loop calls `put`, `withdraw` and `close`, worker threads call `take`. `lock` guards the queue and the
    state of every request in it. `tokens` are those of all inputs that no thread took yet.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._arrivals: deque[QueuedInput] = deque()
        self._batches: deque[list[QueuedInput]] = deque()
        self.tokens = 0
        self.closed = False
        self.lock = threading.Condition()

    def put(self, request: QueuedRequest, items: Sequence[Sized]) -> None:
        """Append the inputs of a request."""
        with self.lock:
            self.tokens += request.queued_tokens
            self._arrivals.extend(QueuedInput(request, position, item) for position, item in enumerate(items))
            self.lock.notify(len(items))

    def take(self) -> list[QueuedInput] | None:
        """Wait for inputs and return the next batch of live ones, None once the queue is closed and empty."""
        with self.lock:
            while self._wait_for_inputs():
                if not self._batches:
                    self._batches.extend(self._scheduler.schedule(self._arrivals))
                # A request can be cancelled between its scheduling and its turn.
                batch = [item for item in self._batches.popleft() if item.live] if self._batches else []
                if batch:
                    self._count_as_taken(batch)
                    return batch
            return None

    def put_back(self, batches: Sequence[Sequence[QueuedInput]]) -> None:
        """Make batches that a thread took, and did not run, the next ones, in this order."""
        with self.lock:
            for batch in reversed(batches):
                items = [item for item in batch if item.live]
                for item in items:
                    item.request.queued_tokens += len(item)
                self.tokens += sum(map(len, items))
                self._batches.appendleft(items)
            self.lock.notify(len(batches))

    def withdraw(self, request: QueuedRequest) -> None:
        """Stop counting what is queued of a request that was cancelled or failed. The caller holds `lock`."""
        self.tokens -= request.queued_tokens
        request.queued_tokens = 0

    def close(self) -> None:
        """Wake all threads: they drain the queue, and then `take` returns None."""
        with self.lock:
            self.closed = True
            self.lock.notify_all()

    def _wait_for_inputs(self) -> bool:
        while not (self._batches or self._arrivals):
            if self.closed:
                return False
            self.lock.wait()
        return True

    def _count_as_taken(self, batch: Sequence[QueuedInput]) -> None:
        for item in batch:
            item.request.queued_tokens -= len(item)
        self.tokens -= sum(map(len, batch))


def settle(requests: list[QueuedRequest]) -> None:
    """Wake the tasks that wait for these requests, from a worker thread or from the event loop."""
    now_s = time.perf_counter()
    for request in requests:
        request.finished_s = now_s
    if requests:
        requests[0].settled.get_loop().call_soon_threadsafe(_resolve, requests)


def _resolve(requests: list[QueuedRequest]) -> None:
    for request in requests:
        if not request.settled.done():
            request.settled.set_result(None)
