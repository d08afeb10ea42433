"""Requests of which a share were made before, the popular ones most: what a cache is there for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def repeat(texts: Sequence[str], share: float, count: int, seed: int) -> list[str]:
    """
    So many texts, of which about `share` (0 to below 1) stood earlier in the list; the others are new ones in order.

    What is repeated is drawn by Zipf's law from those so far: the r-th to appear with a weight of 1 / r, as web
    requests are near (Breslau et al. 1999). The first is always new. Raises IndexError when `texts` are too few.
    """
    rng = np.random.default_rng(seed)
    weights = np.cumsum(1 / np.arange(1, len(texts) + 1))
    chosen: list[str] = []
    fresh = 0
    for again, where in zip((rng.random(count) < share).tolist(), rng.random(count).tolist(), strict=True):
        if again and fresh:
            chosen.append(texts[int(np.searchsorted(weights[:fresh], where * weights[fresh - 1]))])
        else:
            chosen.append(texts[fresh])
            fresh += 1
    return chosen
