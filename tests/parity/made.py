"""
Models made here, for kinds and families whose released weights need a hub.

What they prove: that this project's tokenising, batching, exporting and scoring give what sentence-transformers
gives for the same weights. What they do not: that a score means anything. The heads are seeded noise.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
import yaml

from tests.processes import ROOT

MINILM = ROOT / "models" / "all-MiniLM-L6-v2"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
# Two layers of noise: enough to tell one family's positions, masks and heads from another's.
SMALL: dict[str, Any] = {"vocab_size": 30522, "initializer_range": 0.2}
SHAPE: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
}


def minilm_cross_encoder() -> Any:
    """MiniLM's trained encoder under a seeded head, wide enough for logits that differ."""
    model: Any = transformers.BertForSequenceClassification.from_pretrained(MINILM, num_labels=1)
    with torch.no_grad():
        model.bert.pooler.dense.weight.normal_(std=0.1)
        model.classifier.weight.normal_(std=0.5)
    return model


def minilm_sparse() -> Any:
    """MiniLM's trained encoder under a seeded masked-language head that leaves most words at 0."""
    model = transformers.BertForMaskedLM.from_pretrained(MINILM)
    with torch.no_grad():
        model.cls.predictions.transform.dense.weight.normal_(std=0.1)
        model.cls.predictions.bias.fill_(-5.0)
    return model


def xlm_roberta_cross_encoder() -> Any:
    """The family of bge-reranker-base and bge-reranker-v2-m3: positions from 2, no token types."""
    sizes = {"max_position_embeddings": 514, "type_vocab_size": 1, "pad_token_id": 1, "num_labels": 1}
    config = transformers.XLMRobertaConfig(**SMALL | SHAPE | sizes)
    return transformers.XLMRobertaForSequenceClassification(config)


def distilbert_sparse() -> Any:
    """The family of splade-v3-distilbert, its head's bias such that most words stay at 0."""
    config = transformers.DistilBertConfig(**SMALL, dim=64, n_layers=2, n_heads=4, hidden_dim=128)
    model = transformers.DistilBertForMaskedLM(config)
    with torch.no_grad():
        model.vocab_projector.bias.fill_(-4.0)
    return model


def qwen3() -> Any:
    """The family of Qwen3-Embedding: causal, rotary positions, the last token pooled."""
    heads = {"num_key_value_heads": 2, "head_dim": 16}
    config = transformers.Qwen3Config(**SMALL | SHAPE | heads, max_position_embeddings=512)
    return transformers.Qwen3Model(config)


def minilm_bert() -> Any:
    """MiniLM itself, to be pooled as bge-small-en-v1.5 is: by its first token."""
    return transformers.BertModel.from_pretrained(MINILM, add_pooling_layer=False)


MADE: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "minilm-cross-encoder": (minilm_cross_encoder, {"kind": "rerank", "max_input_tokens": 512}),
    "minilm-sparse": (minilm_sparse, {"kind": "sparse", "max_input_tokens": 256}),
    "xlm-roberta-cross-encoder": (xlm_roberta_cross_encoder, {"kind": "rerank", "max_input_tokens": 512}),
    "distilbert-sparse": (distilbert_sparse, {"kind": "sparse", "max_input_tokens": 256}),
    "qwen3": (qwen3, {"kind": "dense", "max_input_tokens": 512, "pooling": "last"}),
    "bert-cls": (minilm_bert, {"kind": "dense", "max_input_tokens": 512, "pooling": "cls"}),
}


def make(folder: Path) -> Path:
    """Write every model below folder, and a catalogue that has them as sources; returns the catalogue's path."""
    minilm = {"kind": "dense", "max_input_tokens": 256, "precision": ["fp32"], "sources": [{"path": str(MINILM)}]}
    models: dict[str, Any] = {MINILM.name: minilm}
    for name, (build, entry) in MADE.items():
        torch.manual_seed(0)
        build().save_pretrained(folder / name)
        for file in TOKENIZER:
            shutil.copy(MINILM / file, folder / name / file)
        if name.startswith("xlm-roberta"):  # whose own tokenizer gives no token types
            config = folder / name / "tokenizer_config.json"
            inputs = {"model_input_names": ["input_ids", "attention_mask"]}
            config.write_text(json.dumps(json.loads(config.read_text()) | inputs))
        models[name] = entry | {"precision": ["fp32"], "sources": [{"path": str(folder / name)}]}
    path = folder / "models.yaml"
    path.write_text(yaml.safe_dump({"defaults": {"dense": MINILM.name}, "models": models}))
    return path
