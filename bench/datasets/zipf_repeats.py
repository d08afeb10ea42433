"""Request texts with repeats that follow Zipf's law, as a cache would see them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def repeat(texts: Sequence[str], share: float, count: int, seed: int) -> list[str]:
    """
    Return `count` texts, about `share` (0 to below 1) of which repeat an earlier one; the rest are `texts` in order.

    A repeat is drawn by Zipf's law from the texts so far: the r-th new text has weight 1 / r. Web requests are close
    to that (Breslau et al. 1999). The first text is always new. Raises IndexError if `texts` has too few.
    """
    rng = np.random.default_rng(seed)
    weights = np.cumsum(1 / np.arange(1, len(texts) + 1))
    requests: list[str] = []
    fresh = 0
    for repeats, quantile in zip((rng.random(count) < share).tolist(), rng.random(count).tolist(), strict=True):
        if repeats and fresh:
            requests.append(texts[int(np.searchsorted(weights[:fresh], quantile * weights[fresh - 1]))])
        else:
            requests.append(texts[fresh])
            fresh += 1
    return requests
