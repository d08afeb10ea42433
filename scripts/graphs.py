"""The general recipe: any encoder of transformers, pooling or head in the graph, fused where that is known."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
from fp32 import MASKED, OPSET, divided_attention, split_unsqueeze
from onnxruntime.transformers.fusion_options import FusionOptions
from onnxruntime.transformers.optimizer import optimize_model
from torch import Tensor
from transformers import (
    AttentionInterface,
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
)

# Bidirectional encoders, which take a ready-made additive mask; the value is the attention they can be traced with.
# onnxruntime fuses that mask and the divided attention into one operator; MPNet's relative positions it does not.
ENCODERS = {
    "bert": "divided",
    "distilbert": "divided",
    "roberta": "divided",
    "xlm-roberta": "divided",
    "mpnet": "eager",
}
# A protobuf holds 2 GiB: weights over this go into a file beside the graph.
MOST_INLINE_BYTES = 1_800_000_000


class Unsupported(Exception):
    """Why a model cannot be exported, in words for the user."""


@dataclass(frozen=True)
class Recipe:
    """A model as a torch module, and the names of what goes in and comes out."""

    module: torch.nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Encoder(torch.nn.Module):
    """A model of transformers, given what its family takes for an attention mask and for token types."""

    def __init__(self, auto: Any, folder: Path) -> None:
        super().__init__()
        AttentionInterface.register("divided", divided_attention)
        config = AutoConfig.from_pretrained(folder)
        attention = ENCODERS.get(config.model_type, "eager")
        options = {"attn_implementation": attention, "dtype": torch.float32, "use_safetensors": True}
        self.model = auto.from_pretrained(folder, **options)
        self.masked = additive if config.model_type in ENCODERS else as_is
        self.typed = typed(config)

    def forward(self, ids: Tensor, mask: Tensor, types: Tensor | None = None) -> Any:
        """(n, tokens) int64 each -> the model's own output."""
        given = {"token_type_ids": torch.zeros_like(ids) if types is None else types} if self.typed else {}
        return self.model(input_ids=ids, attention_mask=self.masked(mask), **given)


class Dense(torch.nn.Module):
    """(ids, mask) -> (pooled, token vectors)."""

    def __init__(self, folder: Path, pooling: str) -> None:
        super().__init__()
        self.encoder = Encoder(AutoModel, folder)
        self.pool = {"mean": mean, "cls": first, "last": last}[pooling]

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(n, tokens) int64 twice -> (n, dimensions), (n, tokens, dimensions)."""
        tokens = self.encoder(ids, mask).last_hidden_state
        return self.pool(tokens, mask), tokens


class Sparse(torch.nn.Module):
    """(ids, mask) -> the greatest log1p(relu(logit)) of each word of the vocabulary."""

    def __init__(self, folder: Path, logarithms: int) -> None:
        super().__init__()
        self.encoder = Encoder(AutoModelForMaskedLM, folder)
        self.logarithms = logarithms

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(n, tokens) int64 twice -> (n, vocabulary); relu and log1p are monotone, so the maximum may be first."""
        logits = self.encoder(ids, mask).logits
        weights: Tensor = (logits * mask.unsqueeze(-1).to(logits.dtype)).amax(1).relu()
        for _ in range(self.logarithms):
            weights = weights.log1p()
        return weights


class Rerank(torch.nn.Module):
    """(ids, mask[, token types]) -> logits."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.encoder = Encoder(AutoModelForSequenceClassification, folder)

    def forward(self, ids: Tensor, mask: Tensor, types: Tensor | None = None) -> Tensor:
        """(n, tokens) int64 each -> (n, 1)."""
        logits: Tensor = self.encoder(ids, mask, types).logits
        return logits


def typed(config: Any) -> bool:
    """Whether a model tells a first text from a second one."""
    return getattr(config, "type_vocab_size", 1) > 1


def additive(mask: Tensor) -> Tensor:
    """What to add to the attention scores, (n, 1, 1, tokens)."""
    return (1.0 - mask.unsqueeze(1).unsqueeze(2).to(torch.float32)) * MASKED


def as_is(mask: Tensor) -> Tensor:
    """The mask, for models that make their own of it."""
    return mask


def mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """The mean of the real tokens."""
    kept = mask.unsqueeze(-1).to(tokens.dtype)
    return (tokens * kept).sum(1) / kept.sum(1)


def first(tokens: Tensor, mask: Tensor) -> Tensor:
    """The first token."""
    return tokens[:, 0]


def last(tokens: Tensor, mask: Tensor) -> Tensor:
    """The last real token; rows are padded at their end."""
    at = (mask.sum(1) - 1).unsqueeze(-1).unsqueeze(-1).expand(-1, 1, tokens.shape[-1])
    return tokens.gather(1, at).squeeze(1)


def recipe(kind: str, folder: Path, pooling: str | None) -> Recipe:
    """How a model of a kind is exported; `pooling` None asks its own files. Raises Unsupported."""
    inputs: tuple[str, ...] = ("input_ids", "attention_mask")
    if kind == "dense":
        refuse_other_modules(folder)
        outputs = ("sentence_embedding", "token_embeddings")
        return Recipe(Dense(folder, pooling or own_pooling(folder)), inputs, outputs)
    if kind == "sparse":
        return Recipe(Sparse(folder, logarithms(folder)), inputs, ("sparse_embedding",))
    config = AutoConfig.from_pretrained(folder)
    if config.num_labels != 1:
        raise Unsupported(f"it gives a pair {config.num_labels} labels, and a reranker gives one score")
    inputs += ("token_type_ids",) if typed(config) else ()
    return Recipe(Rerank(folder), inputs, ("logits",))


def refuse_other_modules(folder: Path) -> None:
    """Raise Unsupported for a sentence-transformers model that is more than an encoder and its pooling."""
    path = folder / "modules.json"
    modules = json.loads(path.read_text()) if path.is_file() else []
    for name in (module["type"].rpartition(".")[-1] for module in modules):
        if name not in ("Transformer", "Pooling", "Normalize"):
            raise Unsupported(f"{path} has a {name}, which is not exported; the torch gateway serves it")


def own_pooling(folder: Path) -> str:
    """The pooling that sentence-transformers' module files say: mean, cls or last."""
    path = folder / "1_Pooling/config.json"
    config: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    said = [name.removeprefix("pooling_mode_") for name, value in config.items() if value is True]
    modes = {"mean": "mean", "mean_tokens": "mean", "cls": "cls", "cls_token": "cls", "lasttoken": "last"}
    found = [modes[name] for name in (config.get("pooling_mode"), *said) if name in modes]
    if len(found) != 1:
        raise Unsupported(
            f"{path} names no pooling that is exported (mean, cls, last); set `pooling` in the catalogue"
        )
    return found[0]


def logarithms(folder: Path) -> int:
    """How often SPLADE's weights are passed through log1p: once, or twice in later models."""
    path = folder / "1_SpladePooling/config.json"
    config: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    if config.get("pooling_strategy", "max") != "max":
        raise Unsupported(f"{path} says pooling_strategy {config['pooling_strategy']}; only max is exported")
    return {"relu": 1, "log1p_relu": 2}[config.get("activation_function", "relu")]


def trace(made: Recipe, plain: Path, most_tokens: int) -> None:
    """Write the model's plain graph, both axes dynamic."""
    ids = torch.arange(1000, 1018).reshape(2, 9)
    rows = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens", max=most_tokens)}
    with torch.inference_mode():
        torch.onnx.export(
            made.module.eval(),
            tuple(rows[name] for name in made.inputs),
            plain,
            input_names=list(made.inputs),
            output_names=list(made.outputs),
            dynamic_shapes=[axes] * len(made.inputs),
            opset_version=OPSET,
            external_data=inline_bytes(made.module) > MOST_INLINE_BYTES,
            dynamo=True,
            verbose=False,
        )


def inline_bytes(module: torch.nn.Module) -> int:
    """The size of a module's weights."""
    return sum(weights.numel() * weights.element_size() for weights in module.parameters())


def fuse(made: Recipe, folder: Path, plain: Path, fused: Path) -> dict[str, int]:
    """Write the fused graph, or the plain one of a family that is not known; how many of each fused operator."""
    config, external = AutoConfig.from_pretrained(folder), inline_bytes(made.module) > MOST_INLINE_BYTES
    model = onnx.load(plain)
    if config.model_type not in ENCODERS:
        onnx.save(model, fused, save_as_external_data=external, location=f"{fused.name}.data")
        return {}
    split_unsqueeze(model.graph)
    onnx.save(model, plain, save_as_external_data=external, location=f"{plain.name}.data")
    options = FusionOptions("bert")
    options.enable_embed_layer_norm = False  # as in fp32.py
    options.use_raw_attention_mask(True)
    heads, dimensions = config.num_attention_heads, config.hidden_size
    optimized = optimize_model(str(plain), "bert", heads, dimensions, options, opt_level=0)
    optimized.save_model_to_file(str(fused), use_external_data_format=external)
    return {name: count for name, count in optimized.get_fused_operator_statistics().items() if count}
