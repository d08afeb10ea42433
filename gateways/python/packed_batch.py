"""A batch with the tokens of all texts concatenated, so that no layer except the attention computes padding."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from gateways.python.device import to_device

# oneDNN compiles and keeps a kernel for each token count, 0.5 MB each. Rounding up keeps the number of counts small.
GRAIN = 16


class PackedBatch:
    """
    The tokens of all texts, concatenated and filled with blank tokens to a multiple of GRAIN.

    `count` is the number of tokens without the blank ones. `ids` (tokens,) are the token ids, `positions` (tokens,)
    the position of each token in its text, `starts` (texts,) the index of each text's first token. Attention pads
    the texts to rows of one length. `mask`, (texts, 1, 1, longest), is True for the real tokens there; it is None if
    all texts have the same length.
    """

    def __init__(self, batch: Sequence[Sequence[int]], device: torch.device) -> None:
        lengths = [len(tokens) for tokens in batch]
        self._shape = len(lengths), max(lengths)
        self.count = sum(lengths)
        # Compute all indices on the CPU and copy them once: a result read from a GPU would block the next step.
        counts = torch.tensor(lengths)
        real = torch.arange(max(lengths)) < counts[:, None]
        cells = real.flatten().nonzero()[:, 0]
        blanks = cells.new_zeros(-self.count % GRAIN)
        self._lengths, self.starts, self.ids, self._cells, self._tokens = to_device(
            [
                counts,
                counts.cumsum(0) - counts,
                torch.cat([torch.tensor([token for tokens in batch for token in tokens]), blanks]),
                torch.cat([cells, blanks]),
                # A padding cell holds the token before it; its value is not used.
                real.flatten().cumsum(0) - 1,
            ],
            device,
        )
        self.positions = self._cells % max(lengths)
        self.mask = None
        if min(lengths) < max(lengths):
            self.mask = (torch.arange(max(lengths), device=device) < self._lengths[:, None])[:, None, None]

    def attend(self, inputs: Tensor, heads: int) -> Tensor:
        """Queries, keys and values, (tokens, 3 x dimensions) -> the attention's output, (tokens, dimensions)."""
        texts, longest, _ = (rows := self.to_rows(inputs)).shape
        query, key, value = rows.view(texts, longest, 3, heads, -1).permute(2, 0, 3, 1, 4).unbind()
        outputs = functional.scaled_dot_product_attention(query, key, value, attn_mask=self.mask)
        return self.to_tokens(outputs.transpose(1, 2).flatten(-2))

    def to_rows(self, tokens: Tensor) -> Tensor:
        """(tokens, dimensions) -> (texts, longest, dimensions)."""
        cells = tokens[: self.count] if self.mask is None else tokens[self._tokens]
        return cells.view(*self._shape, -1)

    def to_tokens(self, rows: Tensor) -> Tensor:
        """(texts, longest, dimensions) -> (tokens, dimensions)."""
        return rows.flatten(0, 1)[self._cells]

    def mean(self, tokens: Tensor) -> Tensor:
        """(tokens, dimensions) -> the mean of each text's tokens, float32 (texts, dimensions)."""
        text_of_token = torch.repeat_interleave(self._lengths, output_size=self.count)
        sums = tokens.new_zeros(len(self._lengths), tokens.shape[1], dtype=torch.float32)
        return sums.index_add_(0, text_of_token, tokens[: self.count].float()) / self._lengths[:, None]
