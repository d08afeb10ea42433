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
    where = device(settings)
    on_gpu = where != "cpu"
    if on_gpu:
        ort.preload_dlls()  # those of CUDA that came as packages, which the runtime does not look for by itself
    providers = [(CUDA, {"device_id": where.partition(":")[2]}), CPU] if on_gpu else [CPU]
    disabled = None if on_gpu else SLOW_FUSIONS
    session = ort.InferenceSession(str(graph), _options(), providers=providers, disabled_optimizers=disabled)
    if on_gpu and CUDA not in session.get_providers():  # it says why in its log, and would go on without
        raise ValueError(f"DEVICE={settings.device}: ONNX Runtime cannot load CUDA here; DEVICE=cpu does without")
    return session


def device(settings: Settings) -> str:
    """
    Return where sessions run: cpu or cuda:N. ValueError where DEVICE cannot be had.

    int8 graphs are for CPUs: on a GPU most of their operators would run on the CPU after all.
    """
    wanted = settings.device
    there = CUDA in ort.get_available_providers()
    if wanted == "cpu" or (wanted == "auto" and (settings.precision == "int8" or not there)):
        return "cpu"
    if wanted == "mps":
        raise ValueError("DEVICE=mps: the ONNX gateway has no Apple GPU; use GATEWAY=python")
    if settings.precision == "int8":
        raise ValueError(f"DEVICE={wanted}, PRECISION=int8: int8 graphs run on a CPU; use PRECISION=fp32 on a GPU")
    if not there:
        raise ValueError(
            f"DEVICE={wanted}: this onnxruntime has no CUDA; install the extra onnx_py_gpu in place of onnx_py"
        )
    return f"cuda:{int(wanted.partition(':')[2] or 0)}"


def padded(batch: Sequence[TokenIds]) -> tuple[I64, I64]:
    """Return ids and mask of n token lists, each int64 (n, longest), zeros after a row's end."""
    longest = max(map(len, batch))
    ids = np.zeros((len(batch), longest), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, tokens in enumerate(batch):
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    return ids, mask


def _options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    # Parallelism is many batches on many model threads; inside one, threads would fight over the same cores.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # The arena keeps the largest batch's memory for ever and plans every new shape; plain malloc serves as fast.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    return options
