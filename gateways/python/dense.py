"""A dense model on sentence-transformers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Normalize, Pooling, Transformer

from gateways.core.backend import F32, TokenIds
from gateways.core.catalog import Located
from gateways.core.late import Interacting
from gateways.core.planning import PADDED
from gateways.core.tokens import TextTokenizer
from gateways.python.features import loading, padded, run


class TorchDense(Interacting):
    """The modules of a SentenceTransformer, run on token batches that are made once, before the queue."""

    cost = PADDED

    def __init__(self, located: Located, texts: TextTokenizer) -> None:
        encoder = _encoder(located)
        # The vectors leave here as pooled: normalising is the caller's choice.
        self._modules = [module for module in encoder if not isinstance(module, Normalize)]
        self._device = torch.device(encoder.device)
        self.texts = texts
        self.info = located.info

    def encode(self, batch: Sequence[TokenIds]) -> F32:
        """Return the pooled vectors of n token lists, float32 (n, dimensions)."""
        return run(self._modules, padded(batch), self._device, "sentence_embedding")[0]

    def encode_tokens(self, batch: Sequence[TokenIds]) -> list[F32]:
        """Return the last hidden states of n token lists, each float32 (tokens, dimensions)."""
        states = run(self._modules, padded(batch), self._device, "token_embeddings")[0]
        return [row[: len(ids)] for row, ids in zip(states, batch, strict=True)]

    def encode_states(self, batch: Sequence[TokenIds]) -> list[tuple[F32, F32]]:
        """Return the pooled vectors of n token lists, and their last hidden states."""
        vectors, states = run(self._modules, padded(batch), self._device, "sentence_embedding", "token_embeddings")
        return [(vector, row[: len(ids)]) for vector, row, ids in zip(vectors, states, batch, strict=True)]


def _encoder(located: Located) -> SentenceTransformer:
    """Load the model; the catalogue's pooling, where it says one, stands in place of the model's files'."""
    folder, device, pooling = str(located.folder), located.info.device, located.entry.pooling
    kwargs = loading(located.info.precision)
    if pooling is None:
        return SentenceTransformer(folder, device=device, local_files_only=True, model_kwargs=kwargs).eval()
    transformer = Transformer(folder, model_kwargs=kwargs | {"local_files_only": True})
    mode = "lasttoken" if pooling == "last" else pooling
    modules = [transformer, Pooling(transformer.get_embedding_dimension(), mode)]
    return SentenceTransformer(modules=modules, device=device).eval()
