"""Requests in the queue of the model threads, and the inputs that each of them is made of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence, Sized
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeAlias

from gateways.core.errors import GatewayError
from gateways.core.planning import PassCost

# A model's way to run a batch: n inputs, each as long as it has tokens, to n results in their order.
Run: TypeAlias = Callable[[Sequence[Any]], Iterable[Any]]


@dataclass(eq=False, slots=True)
class Ticket:
    """One request in the queue: its n results, filled as batches finish; `waiting_tokens` are in no batch yet."""

    run: Run
    cost: PassCost
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

    @property
    def name(self) -> str:
        """What an error calls it: by its place where there are several."""
        return f"input {self.position}, counted from 0" if len(self.ticket.results) > 1 else "this input"


def fitting(rows: Sequence[Row], tokens: int) -> int:
    """Return how many of the first rows have so many tokens together; one at least."""
    sizes = accumulate(map(len, rows))
    return max(1, sum(size <= tokens for size in sizes))


def wake(tickets: list[Ticket]) -> None:
    """Wake those who wait for these; on the event loop."""
    for ticket in tickets:
        if not ticket.settled.done():
            ticket.settled.set_result(None)
