"""A gateway as a queue: one model thread, which takes what waits, and clients that come by themselves or in turns."""

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
    One core with one model thread: it takes the oldest requests that wait, up to `most_tokens` of them together.

    A pass takes `pass_s` and `token_s` for each token in it; `request_s` goes by between an answer and the next
    request of the same client: the answer is written, read, and the next request parsed, one after another.
    """

    pass_s: float
    token_s: float
    request_s: float = 0.0
    most_tokens: int = 400

    def takes_s(self, tokens: int) -> float:
        """Return the seconds of a pass."""
        return self.pass_s + self.token_s * tokens


def open_loop(server: Server, arrivals_s: F64, tokens: I64) -> F64:
    """Return the seconds that each of n requests takes, (n,): when they come, ascending, and their lengths, (n,)."""
    took_s = np.empty(len(tokens))
    now_s, first = 0.0, 0
    while first < len(tokens):
        now_s = max(now_s, float(arrivals_s[first]))
        waiting = int(np.searchsorted(arrivals_s, now_s, side="right"))
        end = first + _fitting(tokens[first:waiting], server.most_tokens)
        now_s += server.takes_s(int(tokens[first:end].sum()))
        took_s[first:end] = now_s - arrivals_s[first:end]
        first = end
    return took_s


def closed_loop(server: Server, clients: int, tokens: I64) -> tuple[F64, float]:
    """
    Return the seconds that requests take, (n,), and their rate, when so many clients ask one after another.

    The first tenth is left out: it knows how they started.
    """
    coming = [number * server.request_s for number in range(clients)]
    lengths = iter(tokens.tolist())
    ended_s: list[float] = []
    took_s: list[float] = []
    now_s = 0.0
    while True:
        now_s = max(now_s, coming[0])
        taken = list(_take(server, coming, lengths, now_s))
        if not taken:
            break
        now_s += server.takes_s(sum(length for _, length in taken))
        for place, (arrived_s, _) in enumerate(taken, 1):
            took_s.append(now_s - arrived_s)
            ended_s.append(now_s)
            heappush(coming, now_s + place * server.request_s)
    warm = len(took_s) // 10
    return np.array(took_s[warm:]), (len(ended_s) - warm) / (ended_s[-1] - ended_s[warm - 1 if warm else 0])


def _take(server: Server, coming: list[float], lengths: Iterator[int], now_s: float) -> Iterator[tuple[float, int]]:
    """Yield arrival and length of those that wait and fit, the oldest first; nothing when there are no more texts."""
    room = server.most_tokens
    while coming and coming[0] <= now_s and room > 0:
        length = next(lengths, None)
        if length is None:
            return
        room -= length
        yield heappop(coming), length


def _fitting(tokens: Sequence[int] | I64, most: int) -> int:
    """Return how many of the first have so many tokens together; one at least."""
    return max(1, int(np.searchsorted(np.cumsum(tokens), most, side="right")))
