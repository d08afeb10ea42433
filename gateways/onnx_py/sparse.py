"""A sparse model, computed with ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence

import onnxruntime as ort

from gateways.core.backend import F32, PADDED, ModelInfo, SparseVector, TokenIds
from gateways.core.scoring.vectors import nonzero
from gateways.core.text.tokenizer import TextTokenizer
from gateways.onnx_py.session import pad_tokens


class OnnxSparse:
    """A graph (input_ids, attention_mask) -> sparse_embedding, a weight for each vocabulary entry."""

    cost = PADDED

    def __init__(self, session: ort.InferenceSession, texts: TextTokenizer, info: ModelInfo) -> None:
        self._session = session
        self.texts = texts
        self.info = info

    def encode(self, batch: Sequence[TokenIds]) -> list[SparseVector]:
        """Return the vocabulary entries with a weight over 0, for each of n token lists."""
        ids, mask = pad_tokens(batch)
        weights: F32 = self._session.run(["sparse_embedding"], {"input_ids": ids, "attention_mask": mask})[0]
        return [nonzero(row) for row in weights]
