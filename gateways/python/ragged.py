"""A layout without rows, where a GPU's kernel attends to texts of any length as they lie."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gateways.python.device import own_stream
from gateways.python.layout import Layout

log = logging.getLogger(__name__)

# Texts of a trial: of one token, of several, and more than a kernel's block of 64 or 128.
TRIAL_LENGTHS, TRIAL_HEADS, TRIAL_WIDTH = (1, 7, 130, 33), 2, 64
CLOSE = 0.02  # of values of about 1, in bf16


class Ragged(Layout):
    """The same texts; they attend by `torch.nn.attention.varlen`, which takes half precision on CUDA only."""

    def __init__(self, batch: Sequence[Sequence[int]], device: torch.device) -> None:
        super().__init__(batch, device)
        self._longest = max(map(len, batch))
        self._bounds = functional.pad(self._lengths.cumsum(0), (1, 0)).int()

    def attend(self, inputs: Tensor, heads: int) -> Tensor:
        """Queries, keys and values of all tokens, (tokens, 3 x dimensions), to what each attends to."""
        query, key, value = inputs[: self.count].view(self.count, 3, heads, -1).unbind(1)
        bounds, longest = self._bounds, self._longest
        attended: Tensor = _kernel()(query, key, value, bounds, bounds, longest, longest)
        blanks = (0, 0, 0, len(inputs) - self.count)
        return functional.pad(attended.flatten(1), blanks)


def layout_for(device: torch.device, dtype: torch.dtype) -> type[Layout]:
    """Return how texts are laid for this device: ragged where it is tried here and right, else in rows."""
    if device.type != "cuda" or dtype == torch.float32:
        return Layout
    try:
        difference = trial(device, dtype)
    except (ImportError, RuntimeError, TypeError, ValueError) as error:
        log.info("texts attend in rows of one length, for torch.nn.attention.varlen does not run here: %s", error)
        return Layout
    if difference <= CLOSE:
        return Ragged
    log.warning("texts attend in rows of one length: torch.nn.attention.varlen is off by %.3f here", difference)
    return Layout


@torch.inference_mode()
def trial(device: torch.device, dtype: torch.dtype) -> float:
    """Return the greatest difference of what the two layouts make of the same texts."""
    random = torch.Generator().manual_seed(0)
    batch = [[1] * length for length in TRIAL_LENGTHS]
    with own_stream(device):
        ragged, rows = Ragged(batch, device), Layout(batch, device)
        inputs = torch.randn(len(rows.ids), 3 * TRIAL_WIDTH, generator=random).to(device, dtype)
        found, wanted = (layout.attend(inputs, TRIAL_HEADS)[: rows.count].float() for layout in (ragged, rows))
        return float((found - wanted).abs().max())


def _kernel() -> Callable[..., Any]:
    """Return the kernel. ImportError before torch 2.10, where there is none."""
    kernel: Callable[..., Any] = importlib.import_module("torch.nn.attention.varlen").varlen_attn
    return kernel
