"""The rule of drift: a window is held to the machine's usual speed by the look that is farther from it."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.records.refusal_codes import MAX_DRIFT, relative_drift
from bench.records.row import Key

USUAL, SLOW, FAST = "usual", "slow", "fast"


def find_farther(looks: Sequence[float], usual: float) -> float:
    """Return the drift, of the looks before and after a window, that is farther from the usual one."""
    return max(looks, key=lambda look: abs(relative_drift(look, usual)))


@dataclass(frozen=True)
class UsualSpeed:
    """
    The usual drift of a campaign, and of each block that was at another speed as a whole.

    A cell has one vote however often it was measured again, because disturbed windows are repeated.
    """

    campaign: float
    blocks: Mapping[str, float]

    @classmethod
    def of(cls, windows: Iterable[tuple[Key, Sequence[float]]]) -> UsualSpeed:
        """Return the usual speed of windows, each the key of its cell and its looks."""
        votes: dict[Key, list[float]] = {}
        for key, looks in windows:
            votes.setdefault(key, []).extend(looks)
        cells = {key: statistics.median(looks) for key, looks in votes.items()}
        campaign = statistics.median(cells.values()) if cells else 0.0
        medians = {
            block: statistics.median(drift for key, drift in cells.items() if key[0] == block)
            for block in {key[0] for key in cells}
        }
        apart = {block: drift for block, drift in medians.items() if abs(relative_drift(drift, campaign)) > MAX_DRIFT}
        return cls(campaign, apart)

    def drifted(self, block: str, looks: Sequence[float]) -> bool:
        """Whether a window was more than 3 % off: off its block, where the whole block was at another speed."""
        usual = self.blocks.get(block, self.campaign)
        return abs(relative_drift(find_farther(looks, usual), usual)) > MAX_DRIFT

    def state(self, looks: Sequence[float]) -> str:
        """Return whether the machine was slow, fast or at its usual speed in a window of the campaign."""
        off = relative_drift(find_farther(looks, self.campaign), self.campaign)
        if abs(off) <= MAX_DRIFT:
            return USUAL
        return SLOW if off > 0 else FAST
