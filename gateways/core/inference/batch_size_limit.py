"""The size limit of a batch: the configured or the measured optimum, reduced while memory is short."""

from __future__ import annotations

import math

from gateways.core.backend import PassCost

# Shortage of memory never makes batches smaller than this.
MIN_TOKENS = 256
# Memory can become free again. After this many successful passes the limit is doubled. If memory is still short,
# one pass in 100 fails and is repeated in halves.
PASSES_BEFORE_RETRY = 100
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "failed to allocate memory", "bad allocation", "bad_alloc")


class BatchSizeLimit:
    """
    The maximum number of tokens in a batch.

    It is the knee of a model that has one, else `max_tokens`. It is smaller while memory is short.
    """

    def __init__(self, max_tokens: int) -> None:
        self._max_tokens = max_tokens
        self._memory_tokens = math.inf
        self._successes = 0

    def tokens_for(self, cost: PassCost) -> int:
        """Return the limit for a model whose passes have this cost."""
        return int(min(cost.knee or self._max_tokens, self._memory_tokens))

    def record_success(self, tokens: int) -> None:
        """Record a pass of `tokens` that fitted memory."""
        # A pass of half the limit or less proves nothing. Without a limit no pass does.
        if tokens <= self._memory_tokens / 2:
            return
        self._successes += 1
        if self._successes >= PASSES_BEFORE_RETRY:
            self._memory_tokens, self._successes = self._memory_tokens * 2, 0

    def record_out_of_memory(self, tokens: int) -> None:
        """Record a pass of `tokens` that did not fit memory. The limit becomes half of it at most."""
        self._memory_tokens, self._successes = min(self._memory_tokens, max(MIN_TOKENS, tokens // 2)), 0


def is_out_of_memory(error: Exception) -> bool:
    """Return whether a pass failed because memory was short, in the words of Python, torch or ONNX Runtime."""
    message = str(error).lower()
    return isinstance(error, MemoryError) or any(phrase in message for phrase in OUT_OF_MEMORY)
