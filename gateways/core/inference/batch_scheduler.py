"""Scheduling of batches: which of the queued inputs run next, and in which batches."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from gateways.core.inference.batch_planner import plan
from gateways.core.inference.batch_size_limit import BatchSizeLimit
from gateways.core.inference.request_queue import QueuedInput, Run

# The least share of a worker thread: a few short texts are not worth splitting.
MIN_SHARE_TOKENS = 64
# A share has 25 % room for padding. Without it there would be one batch more than threads.
SHARE_ROOM = 1.25


class BatchScheduler:
    """
    FIFO scheduling of `threads` worker threads.

    A window of the oldest inputs is planned at a time: as many as one pass of each thread holds. A later input never
    runs before one of an earlier window. Inside a window the shortest go first. In the `background`, where nobody
    waits for an answer, the window is the whole queue.
    """

    def __init__(self, limit: BatchSizeLimit, threads: int, *, background: bool = False) -> None:
        self._limit = limit
        self._threads = threads
        self._background = background

    def schedule(self, arrivals: deque[QueuedInput]) -> list[list[QueuedInput]]:
        """
        Take the next window from the left of `arrivals`, and drop what is not live.

        Returns batches of one model each, split so that every thread gets a share.
        """
        window = self._take_window(arrivals)
        if not window:
            return []
        max_tokens = self._share_tokens(window)
        by_model: dict[Run, list[QueuedInput]] = {}
        for item in window:
            by_model.setdefault(item.request.run, []).append(item)
        batches: list[list[QueuedInput]] = []
        for inputs in by_model.values():
            cost = inputs[0].request.cost
            batches.extend(plan(inputs, min(max_tokens, self._limit.tokens_for(cost)), cost))
        return batches

    def _take_window(self, arrivals: deque[QueuedInput]) -> list[QueuedInput]:
        window: list[QueuedInput] = []
        tokens, max_tokens = 0, math.inf
        while arrivals:
            head = arrivals[0]
            if head.live:
                if not window and not self._background:
                    max_tokens = int(self._limit.tokens_for(head.request.cost) * self._threads / SHARE_ROOM)
                tokens += len(head)
                if window and tokens > max_tokens:
                    break
                window.append(head)
            arrivals.popleft()
        return window

    def _share_tokens(self, window: Sequence[QueuedInput]) -> int:
        cost = window[0].request.cost
        max_tokens = self._limit.tokens_for(cost)
        if self._threads == 1:
            return max_tokens
        share = math.ceil(SHARE_ROOM * sum(map(len, window)) / self._threads)
        # A pass costs `cost.fixed` tokens by itself, which is much on a GPU: a smaller share would waste it.
        return min(max(MIN_SHARE_TOKENS, int(cost.fixed), share), max_tokens)
