"""Which of the inputs that wait go through the model together."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T", bound=Sized)


class PassCost(NamedTuple):
    """
    What a forward pass costs, in tokens that it computes.

    `fixed` is what any pass costs, `padding` what a cell of padding does, `pair` what it takes to compare two cells
    of one row, padding or not: an attention compares all of them. `knee` is how many tokens of a pass are enough for
    it to be efficient; 0 where that was not measured, as on a CPU, where few are.
    """

    fixed: float
    padding: float
    pair: float
    knee: int = 0

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


# A budget over `FINE` tokens, a GPU's, is filled with groups of rows alike, of about so many groups: planning row by
# row would take longer than the pass.
FINE, GROUPS = 4_096, 64
# Another pass makes the inputs of all later ones wait: it has to save this share of what all of them cost.
WORTH_A_PASS = 0.05


def plan(inputs: Sequence[T], most_tokens: int, cost: PassCost) -> list[list[T]]:
    """
    Cut inputs, each as long as it has tokens, into batches of similar length, shortest first, that cost least.

    Inputs are ordered by length and cut by dynamic programming: the best cut of the first n is the best cut of fewer,
    and one batch more, which has to be worth it. No batch computes over `most_tokens` unless it is one input.
    """
    ordered = sorted(inputs, key=len, reverse=True)
    tokens_of_all = sum(map(len, ordered))
    worth = WORTH_A_PASS * tokens_of_all
    groups = _groups(ordered, min(most_tokens, tokens_of_all) // GROUPS if most_tokens > FINE else 0)
    costs, starts = [0.0], [0]
    for end in range(1, len(groups) + 1):
        least, best, rows, tokens = float("inf"), end - 1, 0, 0
        for start in range(end - 1, -1, -1):
            group, longest, held = groups[start]
            rows, tokens = rows + len(group), tokens + held
            if start < end - 1 and cost.computed(rows, longest, tokens) > most_tokens:
                break
            if (total := costs[start] + worth + cost.of(rows, longest, tokens)) < least:
                least, best = total, start
        costs.append(least)
        starts.append(best)
    batches: list[list[T]] = []
    end = len(groups)
    while end:
        batches.append([row for group in groups[starts[end] : end] for row in group.rows])
        end = starts[end]
    return batches


class _Group(NamedTuple):
    """Rows that go together, the tokens of the longest, and of all."""

    rows: list[Any]
    longest: int
    tokens: int


def _groups(ordered: Sequence[Sized], cells: int) -> list[_Group]:
    """Return neighbours of no more cells together than this, and of one row at least."""
    if not cells:
        return [_Group([row], length := len(row), length) for row in ordered]
    groups: list[_Group] = []
    at = 0
    while at < len(ordered):
        longest = len(ordered[at])
        rows = ordered[at : at + max(1, cells // longest)]
        groups.append(_Group(list(rows), longest, sum(map(len, rows))))
        at += len(rows)
    return groups
