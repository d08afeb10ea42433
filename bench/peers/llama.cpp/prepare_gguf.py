"""
Write the model as GGUF, F16 and Q8_0, with the package `gguf`. Usage: prepare_gguf.py <model folder> <output folder>

The tensors, keys and vocabulary are those of llama.cpp's own converter for BERT. Matrices are written in F16 or Q8_0,
vectors and the position table in F32, as it writes them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

KINDS = {
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}
# No embedding needs the pooler; the positions are 0, 1, 2, ….
LEFT_OUT = ("pooler.dense.weight", "pooler.dense.bias", "embeddings.position_ids")
SPECIAL = {"[UNK]": "unk", "[SEP]": "sep", "[PAD]": "pad", "[CLS]": "bos", "[MASK]": "mask"}


def write(model: Path, kind: str, file: Path) -> None:
    """Write the GGUF file of one kind of weights."""
    weights, file_type = KINDS[kind]
    writer = gguf.GGUFWriter(file, "bert")
    config = json.loads((model / "config.json").read_text())
    write_parameters(writer, config, json.loads((model / "sentence_bert_config.json").read_text()))
    writer.add_file_type(file_type)
    write_vocabulary(writer, (model / "vocab.txt").read_text().splitlines())
    for name, tensor in rename(load_file(model / "model.safetensors"), config["num_hidden_layers"]):
        kept = tensor.ndim == 1 or name.startswith(("position_embd", "token_types"))
        dtype = gguf.GGMLQuantizationType.F32 if kept else weights
        writer.add_tensor(name, gguf.quants.quantize(tensor.astype(np.float32), dtype), raw_dtype=dtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_parameters(writer: gguf.GGUFWriter, config: dict[str, Any], limits: dict[str, Any]) -> None:
    """Write the shape of the model; the context ends where sentence-transformers truncates."""
    writer.add_name("all-MiniLM-L6-v2")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_token_type_count(config["type_vocab_size"])


def write_vocabulary(writer: gguf.GGUFWriter, words: list[str]) -> None:
    """Write the word pieces: a piece that begins a word has a leading space, one that continues it has no `##`."""
    special = [word.startswith("[") and word.endswith("]") and len(word) > 2 for word in words]
    types = [gguf.TokenType.CONTROL if is_special else gguf.TokenType.NORMAL for is_special in special]
    pieces = [
        word if is_special else word[2:] if word.startswith("##") else "\u2581" + word
        for word, is_special in zip(words, special, strict=True)
    ]
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(pieces)
    writer.add_token_types(types)
    for word, name in SPECIAL.items():
        getattr(writer, f"add_{name}_token_id")(words.index(word))


def rename(tensors: dict[str, npt.NDArray[Any]], layers: int) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Yield each tensor under its name in a GGUF file."""
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.BERT, layers)
    for name, tensor in tensors.items():
        if name not in LEFT_OUT:
            renamed = names.get_name(name, try_suffixes=(".weight", ".bias"))
            if renamed is None:
                raise SystemExit(f"no GGUF name for {name}")
            yield renamed, tensor


def main() -> None:
    """Write every kind."""
    model, output = map(Path, sys.argv[1:])
    for kind in KINDS:
        write(model, kind, output / f"{kind}.gguf")


if __name__ == "__main__":
    main()
