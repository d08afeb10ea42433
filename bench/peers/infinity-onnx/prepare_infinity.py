"""
Export the model for infinity's engine `optimum`: fp32 and int8, a folder each.

Usage: prepare_infinity.py <model folder> <output folder>
"""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path

from optimum.exporters.onnx import main_export
from optimum.onnxruntime import ORTQuantizer
from optimum.onnxruntime.configuration import AutoQuantizationConfig, QuantizationConfig


def quantization() -> QuantizationConfig:
    """Return the dynamic int8 recipe for this processor."""
    if platform.machine() in ("aarch64", "arm64"):
        return AutoQuantizationConfig.arm64(is_static=False, per_channel=True)
    flags = Path("/proc/cpuinfo").read_text()
    if "avx512_vnni" in flags:
        return AutoQuantizationConfig.avx512_vnni(is_static=False, per_channel=True)
    return AutoQuantizationConfig.avx2(is_static=False, per_channel=True)


def limit_tokens(folder: Path, source: Path) -> None:
    """Truncate where sentence-transformers does; infinity's engine takes the limit from config.json alone."""
    tokens = json.loads((source / "sentence_bert_config.json").read_text())["max_seq_length"]
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": tokens}))


def main() -> None:
    """Write both folders; infinity prefers a file with `quantize` in its name."""
    source, output = map(Path, sys.argv[1:])
    plain, quantized = output / "fp32", output / "int8"
    main_export(str(source), plain, task="feature-extraction", library_name="transformers", do_validation=False)
    ORTQuantizer.from_pretrained(plain).quantize(save_dir=quantized, quantization_config=quantization())
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        (quantized / name).write_bytes((plain / name).read_bytes())
    for folder in (plain, quantized):
        limit_tokens(folder, source)


if __name__ == "__main__":
    main()
