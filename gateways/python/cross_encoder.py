"""A cross-encoder on sentence-transformers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from sentence_transformers import CrossEncoder

from gateways.core.backend import F32
from gateways.core.catalog import CatalogError, Located
from gateways.core.planning import PADDED
from gateways.core.tokens import Pair, TextTokenizer
from gateways.python.features import loading, padded, run


class TorchCrossEncoder:
    """The modules of a CrossEncoder, run on pairs of tokens that are made once, before the queue."""

    cost = PADDED

    def __init__(self, located: Located, texts: TextTokenizer) -> None:
        folder, device, kwargs = str(located.folder), located.info.device, loading(located.info.precision)
        encoder = CrossEncoder(folder, device=device, local_files_only=True, model_kwargs=kwargs).eval()
        if encoder.num_labels != 1:
            raise CatalogError(
                f"{located.info.id} gives a pair {encoder.num_labels} labels; a reranker gives 1 score"
            )
        self._modules = list(encoder)
        self._device = torch.device(encoder.device)
        self._typed = getattr(encoder.config, "type_vocab_size", 1) > 1
        self.texts = texts
        self.info = located.info

    def predict(self, batch: Sequence[Pair]) -> F32:
        """Return the logits of n pairs, float32 (n,)."""
        features = padded([pair.ids for pair in batch])
        if self._typed:
            starts = torch.tensor([[pair.second] for pair in batch])
            longest = features["input_ids"].shape[1]
            features["token_type_ids"] = features["attention_mask"] * (torch.arange(longest) >= starts)
        logits: F32 = run(self._modules, features, self._device, "scores")[0]
        return logits.reshape(-1)
