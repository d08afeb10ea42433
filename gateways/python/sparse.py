"""A sparse model on sentence-transformers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from sentence_transformers import SparseEncoder

from gateways.core.backend import SparseVector, TokenIds
from gateways.core.catalog import Located
from gateways.core.planning import PADDED
from gateways.core.tokens import TextTokenizer
from gateways.core.vectors import nonzero
from gateways.python.features import loading, padded, run


class TorchSparse:
    """The modules of a SparseEncoder, run on token batches that are made once, before the queue."""

    cost = PADDED

    def __init__(self, located: Located, texts: TextTokenizer) -> None:
        folder, device, kwargs = str(located.folder), located.info.device, loading(located.info.precision)
        encoder = SparseEncoder(folder, device=device, local_files_only=True, model_kwargs=kwargs).eval()
        self._modules = list(encoder)
        self._device = torch.device(encoder.device)
        self.texts = texts
        self.info = located.info

    def encode(self, batch: Sequence[TokenIds]) -> list[SparseVector]:
        """Return the words that weigh more than 0, of each of n token lists."""
        return [nonzero(row) for row in run(self._modules, padded(batch), self._device, "sentence_embedding")[0]]
