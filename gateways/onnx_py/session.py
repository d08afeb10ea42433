"""ONNX Runtime sessions: select the device, open a graph, and pad token batches for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from gateways.core.backend import TokenIds
from gateways.core.settings import ModelSettings

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
# Fused operators that are slower on a CPU than the ones they replace. Graphs are exported without them
# (scripts/models/undo_fusions.py).
SLOW_FUSIONS = ["SkipLayerNormFusion", "BiasSkipLayerNormFusion", "BiasGeluFusion"]
# A graph with this key in its metadata computes real tokens only (scripts/models/remove_padding.py).
UNPADDED_MARK = "unpadded"
I64 = npt.NDArray[np.int64]


def open_session(graph: Path, settings: ModelSettings) -> ort.InferenceSession:
    """Open one session for all model threads. `run` is thread-safe and computes on the calling thread."""
    device = select_device(settings)
    on_gpu = device != "cpu"
    if on_gpu:
        ort.preload_dlls()  # ONNX Runtime does not find CUDA libraries from PyPI packages by itself
    providers = [(CUDA, {"device_id": device.partition(":")[2]}), CPU] if on_gpu else [CPU]
    disabled = None if on_gpu else SLOW_FUSIONS
    session = ort.InferenceSession(str(graph), _session_options(), providers=providers, disabled_optimizers=disabled)
    if on_gpu and CUDA not in session.get_providers():  # ONNX Runtime logs the cause and falls back to the CPU
        raise ValueError(f"DEVICE={settings.device}: ONNX Runtime cannot load CUDA here; set DEVICE=cpu")
    return session


def select_device(settings: ModelSettings) -> str:
    """
    Return the device of sessions: cpu or cuda:N. Raises ValueError if DEVICE is not available.

    int8 graphs run on CPUs only: CUDA lacks most of their operators, which would fall back to the CPU.
    """
    name = settings.device
    has_cuda = CUDA in ort.get_available_providers()
    if name == "cpu" or (name == "auto" and (settings.precision == "int8" or not has_cuda)):
        return "cpu"
    if name == "mps":
        raise ValueError("DEVICE=mps: the ONNX gateway does not support Apple GPUs; use GATEWAY=python")
    if settings.precision == "int8":
        raise ValueError(f"DEVICE={name}, PRECISION=int8: int8 graphs run on a CPU; use PRECISION=fp32 on a GPU")
    if not has_cuda:
        raise ValueError(
            f"DEVICE={name}: this onnxruntime has no CUDA; install the extra onnx_py_gpu in place of onnx_py"
        )
    return f"cuda:{int(name.partition(':')[2] or 0)}"


def pad_tokens(batch: Sequence[TokenIds]) -> tuple[I64, I64]:
    """Return ids and mask of n token lists, int64 (n, longest) each, zeros after the end of a row."""
    longest = max(map(len, batch))
    ids = np.zeros((len(batch), longest), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, tokens in enumerate(batch):
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    return ids, mask


def _session_options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    # Model threads run batches in parallel; more threads inside a batch would contend for the same cores.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # The arena never frees the memory of the largest batch, and plans each new shape. malloc is as fast.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    return options
