"""Export any transformers encoder with its pooling or head to ONNX; fuse operators of the families in ENCODERS."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
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

from scripts.models.fp32_graph import MASKED, OPSET, divided_attention, split_unsqueeze

# Bidirectional encoders that accept a ready-made additive mask. The value is the attention implementation to trace.
# onnxruntime fuses the mask and "divided" attention into one operator. It cannot fuse MPNet's relative positions.
ENCODERS = {
    "bert": "divided",
    "distilbert": "divided",
    "roberta": "divided",
    "xlm-roberta": "divided",
    "mpnet": "eager",
}
# A protobuf holds at most 2 GiB: larger weights go into an external data file.
MAX_INLINE_BYTES = 1_800_000_000


class UnsupportedModel(Exception):
    """The model cannot be exported; the message tells the user why."""


@dataclass(frozen=True)
class Recipe:
    """A model as a torch module, with the names of its graph inputs and outputs."""

    module: torch.nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Encoder(torch.nn.Module):
    """A transformers model, called with the attention mask and token types that its family expects."""

    def __init__(self, auto: Any, folder: Path) -> None:
        super().__init__()
        AttentionInterface.register("divided", divided_attention)
        config = AutoConfig.from_pretrained(folder)
        attention = ENCODERS.get(config.model_type, "eager")
        options = {"attn_implementation": attention, "dtype": torch.float32, "use_safetensors": True}
        self.model = auto.from_pretrained(folder, **options)
        self.prepare_mask = additive_mask if config.model_type in ENCODERS else plain_mask
        self.takes_token_types = has_token_types(config)

    def forward(self, ids: Tensor, mask: Tensor, types: Tensor | None = None) -> Any:
        """(n, tokens) int64 each -> the output object of transformers."""
        type_ids = torch.zeros_like(ids) if types is None else types
        options = {"token_type_ids": type_ids} if self.takes_token_types else {}
        return self.model(input_ids=ids, attention_mask=self.prepare_mask(mask), **options)


class Dense(torch.nn.Module):
    """(ids, mask) -> (pooled vectors, token vectors)."""

    def __init__(self, folder: Path, pooling: str) -> None:
        super().__init__()
        self.encoder = Encoder(AutoModel, folder)
        self.pool = {"mean": mean_pool, "cls": cls_pool, "last": last_token_pool}[pooling]

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(n, tokens) int64 twice -> (n, dimensions), (n, tokens, dimensions)."""
        tokens = self.encoder(ids, mask).last_hidden_state
        return self.pool(tokens, mask), tokens


class Sparse(torch.nn.Module):
    """(ids, mask) -> maximum over tokens of log1p(relu(logit)), for each vocabulary entry (SPLADE)."""

    def __init__(self, folder: Path, log1p_count: int) -> None:
        super().__init__()
        self.encoder = Encoder(AutoModelForMaskedLM, folder)
        self.log1p_count = log1p_count

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(n, tokens) int64 twice -> (n, vocabulary). relu and log1p are monotone, so the maximum is taken first."""
        logits = self.encoder(ids, mask).logits
        weights: Tensor = (logits * mask.unsqueeze(-1).to(logits.dtype)).amax(1).relu()
        for _ in range(self.log1p_count):
            weights = weights.log1p()
        return weights


class Rerank(torch.nn.Module):
    """(ids, mask[, token types]) -> logits, one per pair."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.encoder = Encoder(AutoModelForSequenceClassification, folder)

    def forward(self, ids: Tensor, mask: Tensor, types: Tensor | None = None) -> Tensor:
        """(n, tokens) int64 each -> (n, 1)."""
        logits: Tensor = self.encoder(ids, mask, types).logits
        return logits


def has_token_types(config: Any) -> bool:
    """Return True if the model distinguishes the first text of a pair from the second one."""
    return getattr(config, "type_vocab_size", 1) > 1


def additive_mask(mask: Tensor) -> Tensor:
    """Return the bias of the attention scores, float32 (n, 1, 1, tokens): 0 for a real token, MASKED for padding."""
    return (1.0 - mask.unsqueeze(1).unsqueeze(2).to(torch.float32)) * MASKED


def plain_mask(mask: Tensor) -> Tensor:
    """Return the mask unchanged, for models that build their own attention bias from it."""
    return mask


def mean_pool(tokens: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of the real tokens, (n, dimensions)."""
    weights = mask.unsqueeze(-1).to(tokens.dtype)
    return (tokens * weights).sum(1) / weights.sum(1)


def cls_pool(tokens: Tensor, mask: Tensor) -> Tensor:
    """Return the first token, (n, dimensions)."""
    return tokens[:, 0]


def last_token_pool(tokens: Tensor, mask: Tensor) -> Tensor:
    """Return the last real token, (n, dimensions). Rows are padded on the right."""
    index = (mask.sum(1) - 1).unsqueeze(-1).unsqueeze(-1).expand(-1, 1, tokens.shape[-1])
    return tokens.gather(1, index).squeeze(1)


def build_recipe(kind: str, folder: Path, pooling: str | None) -> Recipe:
    """Return the Recipe of a model. `pooling` None reads the model's own files. Raises UnsupportedModel."""
    inputs: tuple[str, ...] = ("input_ids", "attention_mask")
    if kind == "dense":
        refuse_other_modules(folder)
        outputs = ("sentence_embedding", "token_embeddings")
        return Recipe(Dense(folder, pooling or read_pooling(folder)), inputs, outputs)
    if kind == "sparse":
        return Recipe(Sparse(folder, read_log1p_count(folder)), inputs, ("sparse_embedding",))
    config = AutoConfig.from_pretrained(folder)
    if config.num_labels != 1:
        raise UnsupportedModel(f"the model has {config.num_labels} labels per pair; a reranker must have 1")
    inputs += ("token_type_ids",) if has_token_types(config) else ()
    return Recipe(Rerank(folder), inputs, ("logits",))


def refuse_other_modules(folder: Path) -> None:
    """Raise UnsupportedModel if sentence-transformers' modules.json has more than encoder, pooling, normalisation."""
    path = folder / "modules.json"
    modules = json.loads(path.read_text()) if path.is_file() else []
    for name in (module["type"].rpartition(".")[-1] for module in modules):
        if name not in ("Transformer", "Pooling", "Normalize"):
            raise UnsupportedModel(f"{path} has a {name} module, which cannot be exported; gateway python serves it")


def read_pooling(folder: Path) -> str:
    """Return the pooling in sentence-transformers' module files: mean, cls or last. Raises UnsupportedModel."""
    path = folder / "1_Pooling/config.json"
    config: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    flags = [name.removeprefix("pooling_mode_") for name, value in config.items() if value is True]
    modes = {"mean": "mean", "mean_tokens": "mean", "cls": "cls", "cls_token": "cls", "lasttoken": "last"}
    poolings = [modes[name] for name in (config.get("pooling_mode"), *flags) if name in modes]
    if len(poolings) != 1:
        raise UnsupportedModel(
            f"{path} does not name exactly one of the poolings mean, cls, last; set `pooling` in the catalogue"
        )
    return poolings[0]


def read_log1p_count(folder: Path) -> int:
    """Return how often log1p is applied to SPLADE weights: 1, or 2 in later models. Raises UnsupportedModel."""
    path = folder / "1_SpladePooling/config.json"
    config: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    if config.get("pooling_strategy", "max") != "max":
        raise UnsupportedModel(f"{path} has pooling_strategy {config['pooling_strategy']}; only max can be exported")
    return {"relu": 1, "log1p_relu": 2}[config.get("activation_function", "relu")]


def trace(recipe: Recipe, plain: Path, max_tokens: int) -> None:
    """Write the model's unfused graph to `plain`; the batch and token axes are dynamic."""
    ids = torch.arange(1000, 1018).reshape(2, 9)
    rows = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens", max=max_tokens)}
    with torch.inference_mode():
        torch.onnx.export(
            recipe.module.eval(),
            tuple(rows[name] for name in recipe.inputs),
            plain,
            input_names=list(recipe.inputs),
            output_names=list(recipe.outputs),
            dynamic_shapes=[axes] * len(recipe.inputs),
            opset_version=OPSET,
            external_data=weights_bytes(recipe.module) > MAX_INLINE_BYTES,
            dynamo=True,
            verbose=False,
        )


def weights_bytes(module: torch.nn.Module) -> int:
    """Return the size of a module's weights in bytes."""
    return sum(weights.numel() * weights.element_size() for weights in module.parameters())


def fuse(recipe: Recipe, folder: Path, plain: Path, fused: Path) -> dict[str, int]:
    """
    Write the graph `plain` to `fused` with its operators fused. Returns the count of each fused operator.

    A family that is not in ENCODERS is written without fusion; the counts are then empty.
    """
    config, external = AutoConfig.from_pretrained(folder), weights_bytes(recipe.module) > MAX_INLINE_BYTES
    model = onnx.load(plain)
    if config.model_type not in ENCODERS:
        onnx.save(model, fused, save_as_external_data=external, location=f"{fused.name}.data")
        return {}
    split_unsqueeze(model.graph)
    onnx.save(model, plain, save_as_external_data=external, location=f"{plain.name}.data")
    options = FusionOptions("bert")
    options.enable_embed_layer_norm = False  # as in fp32_graph.py
    options.use_raw_attention_mask(True)
    heads, dimensions = config.num_attention_heads, config.hidden_size
    optimized = optimize_model(str(plain), "bert", heads, dimensions, options, opt_level=0)
    optimized.save_model_to_file(str(fused), use_external_data_format=external)
    return {name: count for name, count in optimized.get_fused_operator_statistics().items() if count}
