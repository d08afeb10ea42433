"""A dense model, computed with sentence-transformers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Normalize, Pooling, Transformer

from gateways.core.backend import F32, PADDED, TokenIds
from gateways.core.models.catalog import Located
from gateways.core.scoring.late_interaction import TokenEncoder
from gateways.core.text.tokenizer import TextTokenizer
from gateways.python.module_runner import loading_options, pad_tokens, run_modules


class TorchDense(TokenEncoder):
    """A SentenceTransformer whose modules run on token ids; each text is tokenised once, before it is queued."""

    cost = PADDED

    def __init__(self, located: Located, texts: TextTokenizer) -> None:
        encoder = _load_encoder(located)
        # Vectors are returned as pooled; the caller normalises them if the request asks for it.
        self._modules = [module for module in encoder if not isinstance(module, Normalize)]
        self._device = torch.device(encoder.device)
        self.texts = texts
        self.info = located.info

    def encode(self, batch: Sequence[TokenIds]) -> F32:
        """Return the pooled vectors of n token lists, float32 (n, dimensions)."""
        return run_modules(self._modules, pad_tokens(batch), self._device, "sentence_embedding")[0]

    def encode_tokens(self, batch: Sequence[TokenIds]) -> list[F32]:
        """Return the last hidden states of n token lists, float32 (tokens, dimensions) each."""
        states = run_modules(self._modules, pad_tokens(batch), self._device, "token_embeddings")[0]
        return [row[: len(ids)] for row, ids in zip(states, batch, strict=True)]

    def encode_states(self, batch: Sequence[TokenIds]) -> list[tuple[F32, F32]]:
        """Return pooled vector (dimensions,) and last hidden states (tokens, dimensions) of each of n token lists."""
        outputs = ("sentence_embedding", "token_embeddings")
        vectors, states = run_modules(self._modules, pad_tokens(batch), self._device, *outputs)
        return [(vector, row[: len(ids)]) for vector, row, ids in zip(vectors, states, batch, strict=True)]


def _load_encoder(located: Located) -> SentenceTransformer:
    """Load the model. A pooling in the catalogue replaces the pooling in the model's files."""
    folder, device, pooling = str(located.folder), located.info.device, located.entry.pooling
    kwargs = loading_options(located.info.precision)
    if pooling is None:
        return SentenceTransformer(folder, device=device, local_files_only=True, model_kwargs=kwargs).eval()
    transformer = Transformer(folder, model_kwargs=kwargs | {"local_files_only": True})
    mode = "lasttoken" if pooling == "last" else pooling
    modules = [transformer, Pooling(transformer.get_embedding_dimension(), mode)]
    return SentenceTransformer(modules=modules, device=device).eval()
