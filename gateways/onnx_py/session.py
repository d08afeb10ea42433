"""ONNX Runtime sessions, and token batches as their input."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from gateways.core.backend import TokenIds
from gateways.core.settings import Settings

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
# On a CPU slower than the operators they replace: graphs are exported without them (scripts/unfuse.py).
SLOW_FUSIONS = ["SkipLayerNormFusion", "BiasSkipLayerNormFusion", "BiasGeluFusion"]
# A graph whose metadata has this computes no padding: scripts/unpad.py.
UNPADDED_MARK = "unpadded"
I64 = npt.NDArray[np.int64]


def open_session(graph: Path, settings: Settings) -> ort.InferenceSession:
    """Open a graph for all model threads: `run` is thread-safe, and each call stays on its thread."""
    providers = _providers(settings.device)
    disabled = SLOW_FUSIONS if providers == [CPU] else None
    return ort.InferenceSession(str(graph), _options(), providers=providers, disabled_optimizers=disabled)


def device(settings: Settings) -> str:
    """Return where sessions run: cpu or cuda. ValueError where DEVICE cannot be had."""
    return "cuda" if CUDA in _providers(settings.device) else "cpu"


def padded(batch: Sequence[TokenIds]) -> tuple[I64, I64]:
    """Return ids and mask of n token lists, each int64 (n, longest), zeros after a row's end."""
    longest = max(map(len, batch))
    ids = np.zeros((len(batch), longest), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, tokens in enumerate(batch):
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    return ids, mask


def _providers(wanted: str) -> list[str]:
    available = ort.get_available_providers()
    if wanted == "cuda" and CUDA not in available:
        raise ValueError("DEVICE=cuda: this onnxruntime has no CUDA provider; install onnxruntime-gpu")
    return [CUDA, CPU] if wanted != "cpu" and CUDA in available else [CPU]


def _options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    # Parallelism is many batches on many model threads; inside one, threads would fight over the same cores.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # The arena keeps the largest batch's memory for ever and plans every new shape; plain malloc serves as fast.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    return options
