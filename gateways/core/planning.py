"""Which of the inputs that wait go through the model together."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from typing import NamedTuple, TypeVar

T = TypeVar("T", bound=Sized)


class PassCost(NamedTuple):
    """
    What a forward pass costs, in tokens that it computes.

    `fixed` is what any pass costs, `padding` what a cell of padding does, `pair` what it takes to compare two cells
    of one row, padding or not: an attention compares all of them.
    """

    fixed: float
    padding: float
    pair: float

    def of(self, rows: int, longest: int, tokens: int) -> float:
        """Return the cost of a pass over rows that hold so many tokens together."""
        return self.fixed + self.computed(rows, longest, tokens) + self.pair * rows * longest**2

    def computed(self, rows: int, longest: int, tokens: int) -> float:
        """Return the tokens that such a pass computes, padding as far as it is computed."""
        return tokens + self.padding * (rows * longest - tokens)


# A model that computes padding like everything else, and one that takes none of it through its weights: it is moved
# about, and compared. Fitted to MiniLM's passes on one core; between fp32 and int8, whose attention is not faster.
PADDED = PassCost(fixed=8, padding=1, pair=0)
UNPADDED = PassCost(fixed=8, padding=0.1, pair=1 / 1_000)


# Another pass makes the inputs of all later ones wait: it has to save this share of what all of them cost.
WORTH_A_PASS = 0.05


def plan(inputs: Sequence[T], most_tokens: int, cost: PassCost) -> list[list[T]]:
    """
    Cut inputs, each as long as it has tokens, into batches of similar length, shortest first, that cost least.

    Inputs are ordered by length and cut by dynamic programming: the best cut of the first n is the best cut of fewer,
    and one batch more, which has to be worth it. No batch computes over `most_tokens` unless it is one input.
    """
    ordered = sorted(inputs, key=len, reverse=True)
    worth = WORTH_A_PASS * sum(map(len, ordered))
    costs, starts = [0.0], [0]
    for end in range(1, len(ordered) + 1):
        least, best, tokens = float("inf"), end - 1, 0
        for start in range(end - 1, -1, -1):
            rows, longest = end - start, len(ordered[start])
            tokens += longest
            if rows > 1 and cost.computed(rows, longest, tokens) > most_tokens:
                break
            if (total := costs[start] + worth + cost.of(rows, longest, tokens)) < least:
                least, best = total, start
        costs.append(least)
        starts.append(best)
    batches: list[list[T]] = []
    end = len(ordered)
    while end:
        batches.append(ordered[starts[end] : end])
        end = starts[end]
    return batches
