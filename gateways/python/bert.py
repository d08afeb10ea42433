"""
A dense BERT on torch alone, its tokens laid end to end: no padding goes through the weights.

What the modules of sentence-transformers compute (Devlin et al. 2019), by the functions they call themselves, without
their layers in between, and without the seconds and megabytes that importing them takes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional

from gateways.core.backend import F32, TokenIds
from gateways.core.catalog import Located
from gateways.core.late import Interacting
from gateways.core.planning import UNPADDED
from gateways.core.tokens import TextTokenizer
from gateways.python.layout import Layout
from gateways.python.linear import Linear, linear

POOLINGS = ("mean", "cls")


def pooling_of(located: Located) -> str | None:
    """Return how a BERT pools; None for another model, and for one that does more than this module knows."""
    config = _json(located, "config.json")
    known = {"model_type": "bert", "hidden_act": "gelu", "is_decoder": False, "position_embedding_type": "absolute"}
    if config.get("model_type") != "bert" or any(config.get(name, value) != value for name, value in known.items()):
        return None
    modules = _json(located, "modules.json") or []
    if any(module["type"].rpartition(".")[2] not in ("Transformer", "Pooling", "Normalize") for module in modules):
        return None
    said = _json(located, "1_Pooling/config.json")
    modes = [name for name in said if name.startswith("pooling_mode_") and said[name] is True]
    named = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    pooling = located.entry.pooling or (named.get(modes[0]) if len(modes) == 1 else None)
    return pooling if pooling in POOLINGS else None


class TorchBert(Interacting):
    """Embeddings, layers and pooling; safe to call from many threads."""

    cost = UNPADDED

    def __init__(self, located: Located, texts: TextTokenizer) -> None:
        self.texts = texts
        self.info = located.info
        self._device = torch.device(located.info.device)
        self._pooling = pooling_of(located)
        config = _json(located, "config.json")
        self._epsilon: float = config["layer_norm_eps"]
        weights, words = _weights(located), "embeddings.word_embeddings.weight"
        # The greatest of them, of which a text needs a few rows: mapped for itself, only those are read into memory.
        self._words = _weights(located, words)[words].to(self._device)
        # Token types are always 0 here, so their one row is part of every position's.
        types = weights["embeddings.token_type_embeddings.weight"]
        self._positions = (weights["embeddings.position_embeddings.weight"] + types[0]).to(self._device)
        self._norm = _norm(weights, self._device, "embeddings.LayerNorm")
        heads: int = config["num_attention_heads"]
        self._layers = [
            Layer(weights, self._device, f"encoder.layer.{number}.", heads, self._epsilon)
            for number in range(config["num_hidden_layers"])
        ]

    def encode(self, batch: Sequence[TokenIds]) -> F32:
        """Return the pooled vectors of n token lists, float32 (n, dimensions)."""
        return self._run(batch)[0]

    def encode_tokens(self, batch: Sequence[TokenIds]) -> list[F32]:
        """Return the last hidden states of n token lists, each float32 (tokens, dimensions)."""
        return self._run(batch)[1]

    def encode_states(self, batch: Sequence[TokenIds]) -> list[tuple[F32, F32]]:
        """Return the pooled vectors of n token lists, and their last hidden states."""
        vectors, states = self._run(batch)
        return list(zip(vectors, states, strict=True))

    @torch.inference_mode()
    def _run(self, batch: Sequence[TokenIds]) -> tuple[F32, list[F32]]:
        layout = Layout(list(map(len, batch)), self._device)
        ids = layout.laid([token for tokens in batch for token in tokens])
        states = self._words[ids] + self._positions[layout.positions]
        states = functional.layer_norm(states, states.shape[-1:], *self._norm, self._epsilon)
        for layer in self._layers:
            states = layer(states, layout)
        pooled = layout.mean(states) if self._pooling == "mean" else states[layout.starts]
        of_texts = np.split(states[: layout.count].cpu().numpy(), layout.starts.tolist()[1:])
        return pooled.cpu().numpy(), of_texts


class Layer:
    """Attention and feed-forward, each added to what it read and normalised."""

    def __init__(
        self, weights: dict[str, Tensor], device: torch.device, prefix: str, heads: int, epsilon: float
    ) -> None:
        self._heads = heads
        self._epsilon = epsilon
        # Query, key and value are one product.
        inputs = [f"{prefix}attention.self.{name}" for name in ("query", "key", "value")]
        self._qkv = linear(
            torch.cat([weights[f"{name}.weight"] for name in inputs]).to(device),
            torch.cat([weights[f"{name}.bias"] for name in inputs]).to(device),
        )
        self._attended = _linear(weights, device, f"{prefix}attention.output.dense")
        self._attention_norm = _norm(weights, device, f"{prefix}attention.output.LayerNorm")
        self._wide = _linear(weights, device, f"{prefix}intermediate.dense", gelu=True)
        self._narrow = _linear(weights, device, f"{prefix}output.dense")
        self._norm = _norm(weights, device, f"{prefix}output.LayerNorm")

    def __call__(self, states: Tensor, layout: Layout) -> Tensor:
        """(all tokens, dimensions) -> the same."""
        texts, longest, _ = (rows := layout.rows(self._qkv(states))).shape
        query, key, value = rows.view(texts, longest, 3, self._heads, -1).permute(2, 0, 3, 1, 4).unbind()
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=layout.mask)
        attended = layout.tokens(attended.transpose(1, 2).flatten(-2))
        states = self._normal(states + self._attended(attended), self._attention_norm)
        return self._normal(states + self._narrow(self._wide(states)), self._norm)

    def _normal(self, states: Tensor, norm: tuple[Tensor, Tensor]) -> Tensor:
        return functional.layer_norm(states, states.shape[-1:], *norm, self._epsilon)


def _json(located: Located, name: str) -> Any:
    path = located.folder / name
    return json.loads(path.read_text()) if path.is_file() else {}


def _weights(located: Located, only: str = "") -> dict[str, Tensor]:
    """Map the weights, or only one of them, in fp32; some files name what they hold from the outside, `bert.`."""
    with safe_open(located.weights, "pt") as file:
        names = {name.removeprefix("bert."): name for name in file.keys() if name.endswith(only)}  # noqa: SIM118
        return {name: file.get_tensor(stored).float() for name, stored in names.items()}


def _linear(weights: dict[str, Tensor], device: torch.device, name: str, *, gelu: bool = False) -> Linear:
    return linear(weights[f"{name}.weight"].to(device), _own(weights[f"{name}.bias"], device), gelu=gelu)


def _norm(weights: dict[str, Tensor], device: torch.device, name: str) -> tuple[Tensor, Tensor]:
    return _own(weights[f"{name}.weight"], device), _own(weights[f"{name}.bias"], device)


def _own(mapped: Tensor, device: torch.device) -> Tensor:
    """Return a copy: a single view would keep the whole file in memory."""
    return mapped.to(device, copy=True)
