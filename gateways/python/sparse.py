"""A sparse model, computed with sentence-transformers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from sentence_transformers import SparseEncoder

from gateways.core.backend import PADDED, SparseVector, TokenIds
from gateways.core.models.catalog import Located
from gateways.core.scoring.vectors import nonzero
from gateways.core.text.tokenizer import TextTokenizer
from gateways.python.module_runner import loading_options, pad_tokens, run_modules


class TorchSparse:
    """A SparseEncoder whose modules run on token ids; each text is tokenised once, before it is queued."""

    cost = PADDED

    def __init__(self, located: Located, texts: TextTokenizer) -> None:
        folder, device, kwargs = str(located.folder), located.info.device, loading_options(located.info.precision)
        encoder = SparseEncoder(folder, device=device, local_files_only=True, model_kwargs=kwargs).eval()
        self._modules = list(encoder)
        self._device = torch.device(encoder.device)
        self.texts = texts
        self.info = located.info

    def encode(self, batch: Sequence[TokenIds]) -> list[SparseVector]:
        """Return the vocabulary entries with a weight over 0, for each of n token lists."""
        weights = run_modules(self._modules, pad_tokens(batch), self._device, "sentence_embedding")[0]
        return [nonzero(row) for row in weights]
