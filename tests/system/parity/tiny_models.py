"""
Small models with seeded random heads, for kinds and families whose released weights are only on a hub.

They prove that tokenising, batching, export and scoring give the results of sentence-transformers for the same
weights. Their scores have no meaning.
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

from tests.support.gateways import ROOT

MINILM = ROOT / "models" / "all-MiniLM-L6-v2"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
# Two random layers are enough to distinguish the positions, masks and heads of the families.
SMALL: dict[str, Any] = {"vocab_size": 30522, "initializer_range": 0.2}
SHAPE: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
}


def minilm_cross_encoder() -> Any:
    """Return MiniLM's trained encoder with a random head whose weights are large enough for different logits."""
    model: Any = transformers.BertForSequenceClassification.from_pretrained(MINILM, num_labels=1)
    with torch.no_grad():
        model.bert.pooler.dense.weight.normal_(std=0.1)
        model.classifier.weight.normal_(std=0.5)
    return model


def minilm_sparse() -> Any:
    """Return MiniLM's trained encoder with a random masked-language head, biased so that most weights are 0."""
    model = transformers.BertForMaskedLM.from_pretrained(MINILM)
    with torch.no_grad():
        model.cls.predictions.transform.dense.weight.normal_(std=0.1)
        model.cls.predictions.bias.fill_(-5.0)
    return model


def xlm_roberta_cross_encoder() -> Any:
    """Return a model of the family of bge-reranker-base and bge-reranker-v2-m3: positions from 2, no token types."""
    sizes = {"max_position_embeddings": 514, "type_vocab_size": 1, "pad_token_id": 1, "num_labels": 1}
    config = transformers.XLMRobertaConfig(**SMALL | SHAPE | sizes)
    return transformers.XLMRobertaForSequenceClassification(config)


def distilbert_sparse() -> Any:
    """Return a model of the family of splade-v3-distilbert, with a head biased so that most weights are 0."""
    config = transformers.DistilBertConfig(**SMALL, dim=64, n_layers=2, n_heads=4, hidden_dim=128)
    model = transformers.DistilBertForMaskedLM(config)
    with torch.no_grad():
        model.vocab_projector.bias.fill_(-4.0)
    return model


def qwen3() -> Any:
    """Return a model of the family of Qwen3-Embedding: causal attention, rotary positions, last-token pooling."""
    heads = {"num_key_value_heads": 2, "head_dim": 16}
    config = transformers.Qwen3Config(**SMALL | SHAPE | heads, max_position_embeddings=512)
    return transformers.Qwen3Model(config)


def minilm_bert() -> Any:
    """Return MiniLM itself; with CLS pooling it stands for bge-small-en-v1.5."""
    return transformers.BertModel.from_pretrained(MINILM, add_pooling_layer=False)


TINY_MODELS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "minilm-cross-encoder": (minilm_cross_encoder, {"kind": "rerank", "max_input_tokens": 512}),
    "minilm-sparse": (minilm_sparse, {"kind": "sparse", "max_input_tokens": 256}),
    "xlm-roberta-cross-encoder": (xlm_roberta_cross_encoder, {"kind": "rerank", "max_input_tokens": 512}),
    "distilbert-sparse": (distilbert_sparse, {"kind": "sparse", "max_input_tokens": 256}),
    "qwen3": (qwen3, {"kind": "dense", "max_input_tokens": 512, "pooling": "last"}),
    "bert-cls": (minilm_bert, {"kind": "dense", "max_input_tokens": 512, "pooling": "cls"}),
}


def make(folder: Path) -> Path:
    """Write every model below `folder` and a catalogue with them as sources. Returns the path of the catalogue."""
    minilm = {"kind": "dense", "max_input_tokens": 256, "precision": ["fp32"], "sources": [{"path": str(MINILM)}]}
    models: dict[str, Any] = {MINILM.name: minilm}
    for name, (build, entry) in TINY_MODELS.items():
        torch.manual_seed(0)
        build().save_pretrained(folder / name)
        for file in TOKENIZER:
            shutil.copy(MINILM / file, folder / name / file)
        if name.startswith("xlm-roberta"):  # the tokenizer of this family gives no token types
            config = folder / name / "tokenizer_config.json"
            inputs = {"model_input_names": ["input_ids", "attention_mask"]}
            config.write_text(json.dumps(json.loads(config.read_text()) | inputs))
        models[name] = entry | {"precision": ["fp32"], "sources": [{"path": str(folder / name)}]}
    path = folder / "models.yaml"
    path.write_text(yaml.safe_dump({"defaults": {"dense": MINILM.name}, "models": models}))
    return path
