"""A linear layer with constant weights, packed once into the layout in which oneDNN multiplies fastest."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

Linear: TypeAlias = Callable[[Tensor], Tensor]


def make_linear(weight: Tensor, bias: Tensor, *, gelu: bool = False) -> Linear:
    """
    Return a function (tokens, inputs) -> (tokens, outputs): product with `weight`, plus `bias`, then GELU if `gelu`.

    On a CPU in fp32 it uses the oneDNN operators that torch.compile emits for such a layer: weights in oneDNN's own
    layout, and the activation fused into the product.
    """
    on_cpu = weight.device.type == "cpu" and weight.dtype == torch.float32
    if not (on_cpu and torch.backends.mkldnn.is_available()):  # type: ignore[no-untyped-call]
        product = partial(functional.linear, weight=weight, bias=bias)
        return (lambda states: functional.gelu(product(states))) if gelu else product
    packed = torch.ops.mkldnn._reorder_linear_weight(weight)
    activation: tuple[Any, ...] = ("gelu", [], "none") if gelu else ("none", [], "")

    def apply_linear(states: Tensor) -> Tensor:
        result: Tensor = torch.ops.mkldnn._linear_pointwise(states, packed, bias, *activation)
        return result

    return apply_linear
