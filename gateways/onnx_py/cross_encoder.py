"""A cross-encoder on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort

from gateways.core.backend import F32, ModelInfo
from gateways.core.planning import PADDED
from gateways.core.tokens import Pair, TextTokenizer
from gateways.onnx_py.session import padded


class OnnxCrossEncoder:
    """A graph that scores pairs: input_ids, attention_mask and, where it tells the texts apart, token_type_ids."""

    cost = PADDED

    def __init__(self, session: ort.InferenceSession, texts: TextTokenizer, info: ModelInfo) -> None:
        self._session = session
        self._typed = any(given.name == "token_type_ids" for given in session.get_inputs())
        self.texts = texts
        self.info = info

    def predict(self, batch: Sequence[Pair]) -> F32:
        """Return the logits of n pairs, float32 (n,)."""
        ids, mask = padded([pair.ids for pair in batch])
        feeds = {"input_ids": ids, "attention_mask": mask}
        if self._typed:
            starts = np.array([[pair.second] for pair in batch])
            feeds["token_type_ids"] = mask * (np.arange(ids.shape[1]) >= starts)
        logits: F32 = self._session.run(["logits"], feeds)[0]
        return logits[:, 0]
