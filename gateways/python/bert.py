"""
A dense BERT on torch alone, run on packed batches: the weights are not multiplied with padding.

It computes the same as sentence-transformers (Devlin et al. 2019), with the same torch functions. It does not import
sentence-transformers, because that takes seconds and memory.
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

from gateways.core.backend import F32, UNPADDED, TokenIds
from gateways.core.models.catalog import Located
from gateways.core.scoring.late_interaction import TokenEncoder
from gateways.core.text.tokenizer import TextTokenizer
from gateways.python.device import DTYPES, to_cpu, use_thread_stream
from gateways.python.packed_batch import PackedBatch
from gateways.python.packed_linear import Linear, make_linear
from gateways.python.varlen_attention import choose_batch_type

POOLINGS = ("mean", "cls")
CopyWeights: TypeAlias = Callable[[Tensor], Tensor]


def find_pooling(located: Located) -> str | None:
    """Return the pooling of a BERT, "mean" or "cls". Returns None for any model that TorchBert cannot compute."""
    config = _read_json(located, "config.json")
    supported = {
        "model_type": "bert",
        "hidden_act": "gelu",
        "is_decoder": False,
        "position_embedding_type": "absolute",
    }
    if "model_type" not in config or any(config.get(name, value) != value for name, value in supported.items()):
        return None
    modules = _read_json(located, "modules.json") or []
    if any(module["type"].rpartition(".")[2] not in ("Transformer", "Pooling", "Normalize") for module in modules):
        return None
    flags = _read_json(located, "1_Pooling/config.json")
    modes = [name for name in flags if name.startswith("pooling_mode_") and flags[name] is True]
    poolings = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    pooling = located.entry.pooling or (poolings.get(modes[0]) if len(modes) == 1 else None)
    return pooling if pooling in POOLINGS else None


class TorchBert(TokenEncoder):
    """Embeddings, encoder layers and pooling of a BERT. Safe to call from many threads."""

    cost = UNPADDED

    def __init__(self, located: Located, texts: TextTokenizer) -> None:
        self.texts = texts
        self.info = located.info
        self._device, dtype = torch.device(located.info.device), DTYPES[located.info.precision]
        self._batch_type = choose_batch_type(self._device, dtype)
        # Copy weights out of the mapped file: one view would keep the whole file in memory.
        copy = partial(Tensor.to, device=self._device, dtype=dtype, copy=True)
        self._pooling = find_pooling(located)
        config = _read_json(located, "config.json")
        self._epsilon: float = config["layer_norm_eps"]
        weights, words = _read_weights(located), "embeddings.word_embeddings.weight"
        # Word embeddings are the largest tensor, and a text needs few rows. Mapped alone, only these rows are read.
        self._words = _read_weights(located, words)[words].to(self._device, dtype)
        # Token types are always 0 here, so the embedding of type 0 is added to every position embedding.
        types = weights["embeddings.token_type_embeddings.weight"]
        self._positions = copy(weights["embeddings.position_embeddings.weight"] + types[0])
        self._norm = _read_norm(weights, copy, "embeddings.LayerNorm")
        heads: int = config["num_attention_heads"]
        self._layers = [
            Layer(weights, copy, f"encoder.layer.{number}.", heads, self._epsilon)
            for number in range(config["num_hidden_layers"])
        ]

    def encode(self, batch: Sequence[TokenIds]) -> F32:
        """Return the pooled vectors of n token lists, float32 (n, dimensions)."""
        with use_thread_stream(self._device):
            vectors: F32 = to_cpu(self._run(batch)[0]).numpy()
        return vectors

    def encode_tokens(self, batch: Sequence[TokenIds]) -> list[F32]:
        """Return the last hidden states of n token lists, float32 (tokens, dimensions) each."""
        return [states for _, states in self.encode_states(batch)]

    def encode_states(self, batch: Sequence[TokenIds]) -> list[tuple[F32, F32]]:
        """Return pooled vector (dimensions,) and last hidden states (tokens, dimensions) of each of n token lists."""
        with use_thread_stream(self._device):
            vectors, states = map(to_cpu, self._run(batch))
        states_by_text = torch.split(states, [len(tokens) for tokens in batch])
        return [(vector, text.numpy()) for vector, text in zip(vectors.numpy(), states_by_text, strict=True)]

    @torch.inference_mode()
    def _run(self, batch: Sequence[TokenIds]) -> tuple[Tensor, Tensor]:
        """Return pooled vectors, float32 (texts, dimensions), and states, (tokens, dimensions), on the device."""
        packed = self._batch_type(batch, self._device)
        states = self._words[packed.ids] + self._positions[packed.positions]
        states = functional.layer_norm(states, states.shape[-1:], *self._norm, self._epsilon)
        for layer in self._layers:
            states = layer(states, packed)
        vectors = packed.mean(states) if self._pooling == "mean" else states[packed.starts].float()
        return vectors, states[: packed.count]


class Layer:
    """One encoder layer: attention and feed-forward, each with a residual connection and layer normalisation."""

    def __init__(
        self, weights: dict[str, Tensor], copy: CopyWeights, prefix: str, heads: int, epsilon: float
    ) -> None:
        self._heads = heads
        self._epsilon = epsilon
        # One matrix product computes query, key and value.
        inputs = [f"{prefix}attention.self.{name}" for name in ("query", "key", "value")]
        self._qkv = make_linear(
            copy(torch.cat([weights[f"{name}.weight"] for name in inputs])),
            copy(torch.cat([weights[f"{name}.bias"] for name in inputs])),
        )
        self._attention_output = _read_linear(weights, copy, f"{prefix}attention.output.dense")
        self._attention_norm = _read_norm(weights, copy, f"{prefix}attention.output.LayerNorm")
        self._intermediate = _read_linear(weights, copy, f"{prefix}intermediate.dense", gelu=True)
        self._output = _read_linear(weights, copy, f"{prefix}output.dense")
        self._norm = _read_norm(weights, copy, f"{prefix}output.LayerNorm")

    def __call__(self, states: Tensor, packed: PackedBatch) -> Tensor:
        """(tokens, dimensions) -> (tokens, dimensions)."""
        attention = self._attention_output(packed.attend(self._qkv(states), self._heads))
        states = self._normalize(states + attention, self._attention_norm)
        return self._normalize(states + self._output(self._intermediate(states)), self._norm)

    def _normalize(self, states: Tensor, norm: tuple[Tensor, Tensor]) -> Tensor:
        return functional.layer_norm(states, states.shape[-1:], *norm, self._epsilon)


def _read_json(located: Located, name: str) -> Any:
    """Return a JSON file of the model; an empty object if it does not exist."""
    path = located.folder / name
    return json.loads(path.read_text()) if path.is_file() else {}


def _read_weights(located: Located, suffix: str = "") -> dict[str, Tensor]:
    """Return the weights whose names end with `suffix`, mapped, in fp32. The prefix "bert." of names is removed."""
    with safe_open(located.weights, "pt") as file:
        names = {name.removeprefix("bert."): name for name in file.keys() if name.endswith(suffix)}  # noqa: SIM118
        return {name: file.get_tensor(stored).float() for name, stored in names.items()}


def _read_linear(weights: dict[str, Tensor], copy: CopyWeights, name: str, *, gelu: bool = False) -> Linear:
    return make_linear(copy(weights[f"{name}.weight"]), copy(weights[f"{name}.bias"]), gelu=gelu)


def _read_norm(weights: dict[str, Tensor], copy: CopyWeights, name: str) -> tuple[Tensor, Tensor]:
    return copy(weights[f"{name}.weight"]), copy(weights[f"{name}.bias"])
