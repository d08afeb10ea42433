"""
A dense BERT on torch alone, its tokens laid end to end: no padding goes through the weights.

What the modules of sentence-transformers compute (Devlin et al. 2019), by the functions they call themselves, without
their layers in between, and without the seconds and megabytes that importing them takes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional

from gateways.core.backend import F32, TokenIds
from gateways.core.catalog import Located
from gateways.core.late import Interacting
from gateways.core.planning import UNPADDED
from gateways.core.tokens import TextTokenizer
from gateways.python.device import DTYPES, fetched, own_stream
from gateways.python.layout import Layout
from gateways.python.linear import Linear, linear
from gateways.python.ragged import layout_for

POOLINGS = ("mean", "cls")
Put: TypeAlias = Callable[[Tensor], Tensor]


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
        self._device, dtype = torch.device(located.info.device), DTYPES[located.info.precision]
        self._layout = layout_for(self._device, dtype)
        # Weights are copied from the mapped file: a single view would keep the whole of it in memory.
        put = partial(Tensor.to, device=self._device, dtype=dtype, copy=True)
        self._pooling = pooling_of(located)
        config = _json(located, "config.json")
        self._epsilon: float = config["layer_norm_eps"]
        weights, words = _weights(located), "embeddings.word_embeddings.weight"
        # The greatest of them, of which a text needs a few rows: mapped for itself, only those are read into memory.
        self._words = _weights(located, words)[words].to(self._device, dtype)
        # Token types are always 0 here, so their one row is part of every position's.
        types = weights["embeddings.token_type_embeddings.weight"]
        self._positions = put(weights["embeddings.position_embeddings.weight"] + types[0])
        self._norm = _norm(weights, put, "embeddings.LayerNorm")
        heads: int = config["num_attention_heads"]
        self._layers = [
            Layer(weights, put, f"encoder.layer.{number}.", heads, self._epsilon)
            for number in range(config["num_hidden_layers"])
        ]

    def encode(self, batch: Sequence[TokenIds]) -> F32:
        """Return the pooled vectors of n token lists, float32 (n, dimensions)."""
        with own_stream(self._device):
            vectors: F32 = fetched(self._run(batch)[0]).numpy()
        return vectors

    def encode_tokens(self, batch: Sequence[TokenIds]) -> list[F32]:
        """Return the last hidden states of n token lists, each float32 (tokens, dimensions)."""
        return [states for _, states in self.encode_states(batch)]

    def encode_states(self, batch: Sequence[TokenIds]) -> list[tuple[F32, F32]]:
        """Return the pooled vectors of n token lists, and their last hidden states."""
        with own_stream(self._device):
            vectors, states = map(fetched, self._run(batch))
        of_texts = torch.split(states, [len(tokens) for tokens in batch])
        return [(vector, text.numpy()) for vector, text in zip(vectors.numpy(), of_texts, strict=True)]

    @torch.inference_mode()
    def _run(self, batch: Sequence[TokenIds]) -> tuple[Tensor, Tensor]:
        """Return vectors, float32 (texts, dimensions), and states, (tokens, dimensions), on the device."""
        layout = self._layout(batch, self._device)
        states = self._words[layout.ids] + self._positions[layout.positions]
        states = functional.layer_norm(states, states.shape[-1:], *self._norm, self._epsilon)
        for layer in self._layers:
            states = layer(states, layout)
        pooled = layout.mean(states) if self._pooling == "mean" else states[layout.starts].float()
        return pooled, states[: layout.count]


class Layer:
    """Attention and feed-forward, each added to what it read and normalised."""

    def __init__(self, weights: dict[str, Tensor], put: Put, prefix: str, heads: int, epsilon: float) -> None:
        self._heads = heads
        self._epsilon = epsilon
        # Query, key and value are one product.
        inputs = [f"{prefix}attention.self.{name}" for name in ("query", "key", "value")]
        self._qkv = linear(
            put(torch.cat([weights[f"{name}.weight"] for name in inputs])),
            put(torch.cat([weights[f"{name}.bias"] for name in inputs])),
        )
        self._attended = _linear(weights, put, f"{prefix}attention.output.dense")
        self._attention_norm = _norm(weights, put, f"{prefix}attention.output.LayerNorm")
        self._wide = _linear(weights, put, f"{prefix}intermediate.dense", gelu=True)
        self._narrow = _linear(weights, put, f"{prefix}output.dense")
        self._norm = _norm(weights, put, f"{prefix}output.LayerNorm")

    def __call__(self, states: Tensor, layout: Layout) -> Tensor:
        """(all tokens, dimensions) -> the same."""
        attended = self._attended(layout.attend(self._qkv(states), self._heads))
        states = self._normal(states + attended, self._attention_norm)
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


def _linear(weights: dict[str, Tensor], put: Put, name: str, *, gelu: bool = False) -> Linear:
    return linear(put(weights[f"{name}.weight"]), put(weights[f"{name}.bias"]), gelu=gelu)


def _norm(weights: dict[str, Tensor], put: Put, name: str) -> tuple[Tensor, Tensor]:
    return put(weights[f"{name}.weight"]), put(weights[f"{name}.bias"])
