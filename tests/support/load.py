"""Clients that keep asking in threads while a test does something to the gateway."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from typing import TypeVar

import httpx

from tests.support.gateways import Gateway

T = TypeVar("T")


@contextmanager
def load(gateway: Gateway, clients: int, ask: Callable[[httpx.Client, int], T]) -> Iterator[list[T]]:
    """
    Run `ask(client, number)` again and again in each of some clients, each number once, until the block ends.

    Yields the list that the results join. What `ask` raises in a client is raised at the end.
    """
    results: list[T] = []
    stop = threading.Event()
    numbers = count()

    def keep_asking() -> None:
        with gateway.client() as http:
            while not stop.is_set():
                results.append(ask(http, next(numbers)))

    with ThreadPoolExecutor(clients) as pool:
        workers = [pool.submit(keep_asking) for _ in range(clients)]
        try:
            yield results
        finally:
            stop.set()
    for worker in workers:
        worker.result()


def more(results: Sequence[object], number: int = 50) -> Callable[[], bool]:
    """Return a condition that holds once `number` more results have come than there are now."""
    enough = len(results) + number
    return lambda: len(results) >= enough
