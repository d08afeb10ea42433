"""A sparse model on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence

import onnxruntime as ort

from gateways.core.backend import F32, ModelInfo, SparseVector, TokenIds
from gateways.core.planning import PADDED
from gateways.core.tokens import TextTokenizer
from gateways.core.vectors import nonzero
from gateways.onnx_py.session import padded


class OnnxSparse:
    """A graph that weighs the vocabulary: input_ids, attention_mask -> sparse_embedding."""

    cost = PADDED

    def __init__(self, session: ort.InferenceSession, texts: TextTokenizer, info: ModelInfo) -> None:
        self._session = session
        self.texts = texts
        self.info = info

    def encode(self, batch: Sequence[TokenIds]) -> list[SparseVector]:
        """Return the words that weigh more than 0, of each of n token lists."""
        ids, mask = padded(batch)
        weights: F32 = self._session.run(["sparse_embedding"], {"input_ids": ids, "attention_mask": mask})[0]
        return [nonzero(row) for row in weights]
