"""A product with weights that never change, which a CPU takes faster when they are laid out for it once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

Linear: TypeAlias = Callable[[Tensor], Tensor]


def linear(weight: Tensor, bias: Tensor, *, gelu: bool = False) -> Linear:
    """
    Return (tokens, inputs) -> (tokens, outputs): the product with `weight`, plus `bias`, through GELU if wanted.

    On a CPU in fp32 by oneDNN, by the operators that torch.compile makes of such a layer: the weights in its own
    layout, the activation in the same pass over the result.
    """
    on_cpu = weight.device.type == "cpu" and weight.dtype == torch.float32
    if not (on_cpu and torch.backends.mkldnn.is_available()):  # type: ignore[no-untyped-call]
        product = partial(functional.linear, weight=weight, bias=bias)
        return (lambda states: functional.gelu(product(states))) if gelu else product
    packed = torch.ops.mkldnn._reorder_linear_weight(weight)
    activation: tuple[Any, ...] = ("gelu", [], "none") if gelu else ("none", [], "")

    def run(states: Tensor) -> Tensor:
        result: Tensor = torch.ops.mkldnn._linear_pointwise(states, packed, bias, *activation)
        return result

    return run
