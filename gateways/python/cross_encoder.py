"""A cross-encoder, computed with sentence-transformers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from sentence_transformers import CrossEncoder

from gateways.core.backend import F32, PADDED
from gateways.core.models.catalog import CatalogError, Located
from gateways.core.text.tokenizer import Pair, TextTokenizer
from gateways.python.module_runner import loading_options, pad_tokens, run_modules


class TorchCrossEncoder:
    """A CrossEncoder whose modules run on token ids; each pair is tokenised once, before it is queued."""

    cost = PADDED

    def __init__(self, located: Located, texts: TextTokenizer) -> None:
        folder, device, kwargs = str(located.folder), located.info.device, loading_options(located.info.precision)
        encoder = CrossEncoder(folder, device=device, local_files_only=True, model_kwargs=kwargs).eval()
        if encoder.num_labels != 1:
            raise CatalogError(f"{located.info.id} has {encoder.num_labels} labels per pair; a reranker must have 1")
        self._modules = list(encoder)
        self._device = torch.device(encoder.device)
        self._takes_token_types = getattr(encoder.config, "type_vocab_size", 1) > 1
        self.texts = texts
        self.info = located.info

    def predict(self, batch: Sequence[Pair]) -> F32:
        """Return the logits of n pairs, float32 (n,)."""
        features = pad_tokens([pair.ids for pair in batch])
        if self._takes_token_types:
            starts = torch.tensor([[pair.second] for pair in batch])
            longest = features["input_ids"].shape[1]
            features["token_type_ids"] = features["attention_mask"] * (torch.arange(longest) >= starts)
        logits: F32 = run_modules(self._modules, features, self._device, "scores")[0]
        return logits.reshape(-1)
