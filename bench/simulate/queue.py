"""Simulation of a gateway as a queue with one model thread, under an open or a closed loop of clients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


@dataclass(frozen=True)
class Server:
    """
    One core with one model thread, which runs the oldest waiting requests as a batch of up to `most_tokens` tokens.

    A pass takes `pass_s`, plus `token_s` for each token. `request_s` is the time between an answer and the next
    request of the same client, in which the answer is written and read and the next request is parsed.
    """

    pass_s: float
    token_s: float
    request_s: float = 0.0
    most_tokens: int = 400

    def takes_s(self, tokens: int) -> float:
        """Return the duration of a pass in seconds."""
        return self.pass_s + self.token_s * tokens


def open_loop(server: Server, arrivals_s: F64, tokens: I64) -> F64:
    """Return the latency of each request in seconds, (n,), from ascending arrival times, (n,), and lengths, (n,)."""
    took_s = np.empty(len(tokens))
    now_s, first = 0.0, 0
    while first < len(tokens):
        now_s = max(now_s, float(arrivals_s[first]))
        waiting = int(np.searchsorted(arrivals_s, now_s, side="right"))
        end = first + _count_fitting(tokens[first:waiting], server.most_tokens)
        now_s += server.takes_s(int(tokens[first:end].sum()))
        took_s[first:end] = now_s - arrivals_s[first:end]
        first = end
    return took_s


def closed_loop(server: Server, clients: int, tokens: I64) -> tuple[F64, float]:
    """
    Return the latencies in seconds, (n,), and the requests a second, of `clients` in a closed loop.

    The first tenth of the requests is warm-up and left out.
    """
    next_s = [number * server.request_s for number in range(clients)]
    lengths = iter(tokens.tolist())
    finished_s: list[float] = []
    took_s: list[float] = []
    now_s = 0.0
    while True:
        now_s = max(now_s, next_s[0])
        batch = list(_take_batch(server, next_s, lengths, now_s))
        if not batch:
            break
        now_s += server.takes_s(sum(length for _, length in batch))
        for place, (arrived_s, _) in enumerate(batch, 1):
            took_s.append(now_s - arrived_s)
            finished_s.append(now_s)
            heappush(next_s, now_s + place * server.request_s)
    warm = len(took_s) // 10
    return np.array(took_s[warm:]), (len(finished_s) - warm) / (finished_s[-1] - finished_s[warm - 1 if warm else 0])


def _take_batch(
    server: Server, next_s: list[float], lengths: Iterator[int], now_s: float
) -> Iterator[tuple[float, int]]:
    """Yield arrival time and length of waiting requests that fit, oldest first; stop if `lengths` is exhausted."""
    room = server.most_tokens
    while next_s and next_s[0] <= now_s and room > 0:
        length = next(lengths, None)
        if length is None:
            return
        room -= length
        yield heappop(next_s), length


def _count_fitting(tokens: Sequence[int] | I64, max_tokens: int) -> int:
    """Return how many of the first requests fit into `max_tokens` together, at least 1."""
    return max(1, int(np.searchsorted(np.cumsum(tokens), max_tokens, side="right")))
