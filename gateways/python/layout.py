"""Where the tokens of a batch are when they lie end to end, and how they attend to those of their own text."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from gateways.python.device import sent

# oneDNN makes and keeps code for every number of tokens that it sees, half a megabyte each: few numbers are let in.
GRAIN = 16


class Layout:
    """
    Texts of so many tokens each, `count` together, their tokens end to end, and blank ones up to a multiple of GRAIN.

    `ids` are the tokens, `positions` each one's place in its text, `starts` (texts,) where each text begins. They
    attend in rows of one length: `mask` is what may be attended to there, (texts, 1, 1, longest); None where all
    texts are as long.
    """

    def __init__(self, batch: Sequence[Sequence[int]], device: torch.device) -> None:
        lengths = [len(tokens) for tokens in batch]
        self._shape = len(lengths), max(lengths)
        self.count = sum(lengths)
        # All is worked out here and sent at once: what a GPU is asked for, the next step would have to wait for.
        counts = torch.tensor(lengths)
        real = torch.arange(max(lengths)) < counts[:, None]
        cells = real.flatten().nonzero()[:, 0]
        blanks = cells.new_zeros(-self.count % GRAIN)
        self._lengths, self.starts, self.ids, self._cells, self._tokens = sent(
            [
                counts,
                counts.cumsum(0) - counts,
                torch.cat([torch.tensor([token for tokens in batch for token in tokens]), blanks]),
                torch.cat([cells, blanks]),
                # A cell of padding holds the token before it: nothing looks at it.
                real.flatten().cumsum(0) - 1,
            ],
            device,
        )
        self.positions = self._cells % max(lengths)
        self.mask = None
        if min(lengths) < max(lengths):
            self.mask = (torch.arange(max(lengths), device=device) < self._lengths[:, None])[:, None, None]

    def attend(self, inputs: Tensor, heads: int) -> Tensor:
        """Queries, keys and values of all tokens, (tokens, 3 x dimensions), to what each attends to."""
        texts, longest, _ = (rows := self.rows(inputs)).shape
        query, key, value = rows.view(texts, longest, 3, heads, -1).permute(2, 0, 3, 1, 4).unbind()
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=self.mask)
        return self.tokens(attended.transpose(1, 2).flatten(-2))

    def rows(self, tokens: Tensor) -> Tensor:
        """(tokens, dimensions) -> (texts, longest, dimensions)."""
        cells = tokens[: self.count] if self.mask is None else tokens[self._tokens]
        return cells.view(*self._shape, -1)

    def tokens(self, rows: Tensor) -> Tensor:
        """(texts, longest, dimensions) -> (tokens, dimensions)."""
        return rows.flatten(0, 1)[self._cells]

    def mean(self, tokens: Tensor) -> Tensor:
        """(tokens, dimensions) -> the mean of each text's tokens, float32 (texts, dimensions)."""
        text_of = torch.repeat_interleave(self._lengths, output_size=self.count)
        sums = tokens.new_zeros(len(self._lengths), tokens.shape[1], dtype=torch.float32)
        return sums.index_add_(0, text_of, tokens[: self.count].float()) / self._lengths[:, None]
