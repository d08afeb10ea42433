"""A dense model on sentence-transformers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Normalize

from gateways.core.backend import F32, TokenIds
from gateways.core.catalog import Located
from gateways.core.tokens import TextTokenizer


class TorchDense:
    """The modules of a SentenceTransformer, run on token batches that are made once, before the queue."""

    def __init__(self, located: Located, texts: TextTokenizer) -> None:
        encoder = SentenceTransformer(str(located.folder), device=located.info.device, local_files_only=True).eval()
        # The vectors leave here as pooled: normalising is the caller's choice.
        self._modules = [module for module in encoder if not isinstance(module, Normalize)]
        self._device = torch.device(encoder.device)
        self.texts = texts
        self.info = located.info

    def encode(self, batch: Sequence[TokenIds]) -> F32:
        """Return the pooled vectors of n token lists, float32 (n, dimensions)."""
        return self._run("sentence_embedding", batch)

    def encode_tokens(self, batch: Sequence[TokenIds]) -> list[F32]:
        """Return the last hidden states of n token lists, each float32 (tokens, dimensions)."""
        states = self._run("token_embeddings", batch)
        return [row[: len(ids)] for row, ids in zip(states, batch, strict=True)]

    @torch.inference_mode()
    def _run(self, output: str, batch: Sequence[TokenIds]) -> F32:
        longest = max(map(len, batch))
        ids = torch.zeros((len(batch), longest), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = torch.as_tensor(tokens)
            mask[row, : len(tokens)] = 1
        features = {"input_ids": ids.to(self._device), "attention_mask": mask.to(self._device)}
        for module in self._modules:
            features = module(features)
        answer: F32 = features[output].float().cpu().numpy()
        return np.ascontiguousarray(answer)
