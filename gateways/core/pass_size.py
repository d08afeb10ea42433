"""How large a forward pass may be: what is set, or what a model does best, and no more than the memory holds."""

from __future__ import annotations

import math

from gateways.core.planning import PassCost

# However little memory there is, passes are no smaller than this for its sake.
LEAST_TOKENS = 256
# What took the memory may be gone: after so many passes that it held, one of twice the size is tried. Where it was
# not gone, that costs one pass in so many.
PASSES_AGAIN = 100
NO_MEMORY = ("out of memory", "can't allocate memory", "failed to allocate memory", "bad allocation", "bad_alloc")


class PassSize:
    """Tokens of a pass: `most_tokens`, or the knee of a model that has one, until the memory does not hold that."""

    def __init__(self, most_tokens: int) -> None:
        self.most_tokens = most_tokens
        self._memory_tokens = math.inf
        self._held = 0

    def of(self, cost: PassCost) -> int:
        """Return how many tokens a pass of a model that costs this much may have."""
        return int(min(cost.knee or self.most_tokens, self._memory_tokens))

    def held(self, tokens: int) -> None:
        """Learn of a pass that the memory held."""
        if tokens <= self._memory_tokens / 2:
            return  # a small one says nothing, nor any where there is no limit
        self._held += 1
        if self._held >= PASSES_AGAIN:
            self._memory_tokens, self._held = self._memory_tokens * 2, 0

    def too_large(self, tokens: int) -> None:
        """Learn of a pass that the memory did not hold: later ones are half as large."""
        self._memory_tokens, self._held = min(self._memory_tokens, max(LEAST_TOKENS, tokens // 2)), 0


def out_of_memory(error: Exception) -> bool:
    """Whether a pass failed for want of memory, as Python, torch and ONNX Runtime say it."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or any(phrase in said for phrase in NO_MEMORY)
