"""Where the tokens of a batch are when they lie end to end, and where in rows of one length."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# oneDNN makes and keeps code for every number of tokens that it sees, half a megabyte each: few numbers are let in.
GRAIN = 16


class Layout:
    """
    Texts of so many tokens each, `count` together, their tokens end to end, and blank ones up to a multiple of GRAIN.

    `positions` is each token's place in its text, `starts` (texts,) where each text begins, `mask` what may be
    attended to in rows of one length, (texts, 1, 1, longest); None where all texts are as long.
    """

    def __init__(self, lengths: Sequence[int], device: torch.device) -> None:
        self._lengths = torch.tensor(lengths, device=device)
        self._shape = len(lengths), max(lengths)
        self.count = sum(lengths)
        self._blanks = -self.count % GRAIN
        self.starts = self._lengths.cumsum(0) - self._lengths
        real = torch.arange(max(lengths), device=device) < self._lengths[:, None]
        self.mask = None if min(lengths) == max(lengths) else real[:, None, None]
        self._cells = self._blank(real.flatten().nonzero()[:, 0])
        self.positions = self._cells % max(lengths)
        # A cell of padding holds the token before it: nothing looks at it.
        self._tokens = real.flatten().cumsum(0) - 1

    def laid(self, values: Sequence[int]) -> Tensor:
        """One number for each token, as a tensor."""
        return self._blank(torch.tensor(values, device=self._lengths.device))

    def rows(self, tokens: Tensor) -> Tensor:
        """(tokens, dimensions) -> (texts, longest, dimensions)."""
        cells = tokens[: self.count] if self.mask is None else tokens[self._tokens]
        return cells.view(*self._shape, -1)

    def tokens(self, rows: Tensor) -> Tensor:
        """(texts, longest, dimensions) -> (tokens, dimensions)."""
        return rows.flatten(0, 1)[self._cells]

    def mean(self, tokens: Tensor) -> Tensor:
        """(tokens, dimensions) -> the mean of each text's tokens, (texts, dimensions)."""
        text_of = torch.repeat_interleave(self._lengths)
        sums = tokens.new_zeros(len(self._lengths), tokens.shape[1])
        return sums.index_add_(0, text_of, tokens[: self.count]) / self._lengths[:, None]

    def _blank(self, values: Tensor) -> Tensor:
        return torch.cat([values, values.new_zeros(self._blanks)])
