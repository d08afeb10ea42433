"""A dense model, computed with ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence

import onnxruntime as ort

from gateways.core.backend import F32, PADDED, UNPADDED, ModelInfo, TokenIds
from gateways.core.scoring.late_interaction import TokenEncoder
from gateways.core.text.tokenizer import TextTokenizer
from gateways.onnx_py.session import UNPADDED_MARK, pad_tokens


class OnnxDense(TokenEncoder):
    """A graph (input_ids, attention_mask) -> sentence_embedding (pooled), token_embeddings."""

    def __init__(self, session: ort.InferenceSession, texts: TextTokenizer, info: ModelInfo) -> None:
        self._session = session
        self.texts = texts
        self.info = info
        self.cost = UNPADDED if UNPADDED_MARK in session.get_modelmeta().custom_metadata_map else PADDED

    def encode(self, batch: Sequence[TokenIds]) -> F32:
        """Return the pooled vectors of n token lists, float32 (n, dimensions)."""
        vectors: F32 = self._run(batch, "sentence_embedding")[0]
        return vectors

    def encode_tokens(self, batch: Sequence[TokenIds]) -> list[F32]:
        """Return the last hidden states of n token lists, float32 (tokens, dimensions) each."""
        states = self._run(batch, "token_embeddings")[0]
        return [row[: len(ids)] for row, ids in zip(states, batch, strict=True)]

    def encode_states(self, batch: Sequence[TokenIds]) -> list[tuple[F32, F32]]:
        """Return pooled vector (dimensions,) and last hidden states (tokens, dimensions) of each of n token lists."""
        vectors, states = self._run(batch, "sentence_embedding", "token_embeddings")
        return [(vector, row[: len(ids)]) for vector, row, ids in zip(vectors, states, batch, strict=True)]

    def _run(self, batch: Sequence[TokenIds], *outputs: str) -> list[F32]:
        ids, mask = pad_tokens(batch)
        values: list[F32] = self._session.run(outputs, {"input_ids": ids, "attention_mask": mask})
        return values
