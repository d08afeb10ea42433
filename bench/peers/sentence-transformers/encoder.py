"""One sentence-transformers model as its documentation has it fastest on a CPU, chosen by environment variables."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer

F32 = npt.NDArray[np.float32]
BACKEND: Any = os.environ.get("BACKEND", "torch")
THREADS = int(os.environ["THREADS"])


def load() -> SentenceTransformer:
    """Return the model of MODEL_PATH on BACKEND with THREADS threads; MODEL_FILE names one of several graphs."""
    torch.set_num_threads(THREADS)
    options = {"torch": dict[str, Any], "onnx": _onnx_options, "openvino": _openvino_options}[BACKEND]
    return SentenceTransformer(os.environ["MODEL_PATH"], device="cpu", backend=BACKEND, model_kwargs=options())


def _onnx_options() -> dict[str, Any]:
    import onnxruntime

    session = onnxruntime.SessionOptions()
    session.intra_op_num_threads = THREADS
    file = os.environ["MODEL_FILE"]
    return {"provider": "CPUExecutionProvider", "file_name": file, "session_options": session}


def _openvino_options() -> dict[str, Any]:
    config = {"INFERENCE_NUM_THREADS": THREADS, "PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False}
    return {"file_name": os.environ["MODEL_FILE"], "ov_config": config}


def encode(model: SentenceTransformer, texts: Sequence[str]) -> F32:
    """Return the unit vectors of the texts, float32 (n, dimensions)."""
    vectors: F32 = model.encode(list(texts), batch_size=32, normalize_embeddings=True, show_progress_bar=False)
    return vectors
