"""Planning of batches by cost: which inputs go through the model together."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from typing import Any, NamedTuple, TypeVar

from gateways.core.backend import PassCost

T = TypeVar("T", bound=Sized)

# A batch of more tokens than this, as on a GPU, is planned from about 64 groups of similar rows. Planning row by row
# takes longer than the pass.
MAX_UNGROUPED_TOKENS, GROUPS = 4_096, 64
# Another pass delays all inputs that are planned after it. It must save 5 % of the cost of all inputs.
PASS_WORTH = 0.05


class _Group(NamedTuple):
    """Rows of similar length, the length of the longest, and the tokens of all."""

    rows: list[Any]
    longest: int
    tokens: int


def plan(inputs: Sequence[T], max_tokens: int, cost: PassCost) -> list[list[T]]:
    """
    Return the inputs in batches of similar length, shortest first, at the least total cost.

    The length of an input is its number of tokens. A pass computes up to `max_tokens`, unless its batch is one input.
    """
    ordered = sorted(inputs, key=len, reverse=True)
    tokens = sum(map(len, ordered))
    group_tokens = min(max_tokens, tokens) // GROUPS if max_tokens > MAX_UNGROUPED_TOKENS else 0
    groups = _group_rows(ordered, group_tokens)
    starts = _find_starts(groups, max_tokens, PASS_WORTH * tokens, cost)
    batches: list[list[T]] = []
    end = len(groups)
    while end:
        batches.append([row for group in groups[starts[end] : end] for row in group.rows])
        end = starts[end]
    return batches


def _find_starts(groups: Sequence[_Group], max_tokens: int, worth: float, cost: PassCost) -> list[int]:
    """
    Return where the last batch of the first n groups starts, for each n, at the least total cost.

    Dynamic programming: the best batches of the first n groups are those of fewer groups, and one batch more.
    """
    costs, starts = [0.0], [0]
    for end in range(1, len(groups) + 1):
        least, best, rows, tokens = float("inf"), end - 1, 0, 0
        for start in range(end - 1, -1, -1):
            group, longest, group_tokens = groups[start]
            rows, tokens = rows + len(group), tokens + group_tokens
            if start < end - 1 and cost.computed_tokens(rows, longest, tokens) > max_tokens:
                break
            if (total := costs[start] + worth + cost.cost_of_pass(rows, longest, tokens)) < least:
                least, best = total, start
        costs.append(least)
        starts.append(best)
    return starts


def _group_rows(ordered: Sequence[Sized], max_cells: int) -> list[_Group]:
    """Return groups of neighbours: one row each, or as many as fit in `max_cells` tokens with padding."""
    if not max_cells:
        return [_Group([row], length := len(row), length) for row in ordered]
    groups: list[_Group] = []
    start = 0
    while start < len(ordered):
        longest = len(ordered[start])
        rows = ordered[start : start + max(1, max_cells // longest)]
        groups.append(_Group(list(rows), longest, sum(map(len, rows))))
        start += len(rows)
    return groups
