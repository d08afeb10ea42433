"""A cross-encoder, computed with ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort

from gateways.core.backend import F32, PADDED, ModelInfo
from gateways.core.text.tokenizer import Pair, TextTokenizer
from gateways.onnx_py.session import pad_tokens


class OnnxCrossEncoder:
    """A graph (input_ids, attention_mask[, token_type_ids]) -> logits, one per pair."""

    cost = PADDED

    def __init__(self, session: ort.InferenceSession, texts: TextTokenizer, info: ModelInfo) -> None:
        self._session = session
        self._takes_token_types = any(tensor.name == "token_type_ids" for tensor in session.get_inputs())
        self.texts = texts
        self.info = info

    def predict(self, batch: Sequence[Pair]) -> F32:
        """Return the logits of n pairs, float32 (n,)."""
        ids, mask = pad_tokens([pair.ids for pair in batch])
        feeds = {"input_ids": ids, "attention_mask": mask}
        if self._takes_token_types:
            starts = np.array([[pair.second] for pair in batch])
            feeds["token_type_ids"] = mask * (np.arange(ids.shape[1]) >= starts)
        logits: F32 = self._session.run(["logits"], feeds)[0]
        return logits[:, 0]
