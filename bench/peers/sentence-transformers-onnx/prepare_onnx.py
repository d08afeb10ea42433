"""
Export the model as ONNX, optimised and in int8, as sentence-transformers documents it.

Usage: prepare_onnx.py <model folder> <output folder>
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from sentence_transformers import (
    SentenceTransformer,
    export_dynamic_quantized_onnx_model,
    export_optimized_onnx_model,
)


def quantization() -> str:
    """Return the name of the int8 recipe for this processor: the widest unit that it has."""
    if platform.machine() in ("aarch64", "arm64"):
        return "arm64"
    flags = Path("/proc/cpuinfo").read_text()
    names = ("avx512_vnni", "avx512f", "avx2")
    return next(name for name in names if name in flags).removesuffix("f")


def main() -> None:
    """Write the graph, its O3 form and its int8 form, the latter as model_qint8.onnx on every processor."""
    source, output = sys.argv[1:]
    model = SentenceTransformer(source, device="cpu", backend="onnx", model_kwargs={"export": True})
    model.save_pretrained(output)
    export_optimized_onnx_model(model, "O3", output)
    export_dynamic_quantized_onnx_model(model, quantization(), output, file_suffix="qint8")


if __name__ == "__main__":
    main()
