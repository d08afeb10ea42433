"""A packed batch without padding in the attention: torch's variable-length attention kernel for GPUs."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gateways.python.device import use_thread_stream
from gateways.python.packed_batch import PackedBatch

log = logging.getLogger(__name__)

# Token counts of the texts in the self-test: one, a few, and more than a kernel's block of 64 or 128.
TEST_LENGTHS, TEST_HEADS, TEST_WIDTH = (1, 7, 130, 33), 2, 64
MAX_DIFFERENCE = 0.02  # for values of about 1, in bf16


class VarlenBatch(PackedBatch):
    """A packed batch whose attention runs `torch.nn.attention.varlen`: half precision on CUDA only."""

    def __init__(self, batch: Sequence[Sequence[int]], device: torch.device) -> None:
        super().__init__(batch, device)
        self._longest = max(map(len, batch))
        self._bounds = functional.pad(self._lengths.cumsum(0), (1, 0)).int()

    def attend(self, inputs: Tensor, heads: int) -> Tensor:
        """Queries, keys and values, (tokens, 3 x dimensions) -> the attention's output, (tokens, dimensions)."""
        query, key, value = inputs[: self.count].view(self.count, 3, heads, -1).unbind(1)
        bounds, longest = self._bounds, self._longest
        outputs: Tensor = _load_kernel()(query, key, value, bounds, bounds, longest, longest)
        blanks = (0, 0, 0, len(inputs) - self.count)
        return functional.pad(outputs.flatten(1), blanks)


def choose_batch_type(device: torch.device, dtype: torch.dtype) -> type[PackedBatch]:
    """Return VarlenBatch if its kernel runs on this device and passes a self-test, else PackedBatch."""
    if device.type != "cuda" or dtype == torch.float32:
        return PackedBatch
    try:
        difference = measure_difference(device, dtype)
    except (ImportError, RuntimeError, TypeError, ValueError) as error:
        log.info("attention pads texts to one length: torch.nn.attention.varlen does not run here (%s)", error)
        return PackedBatch
    if difference <= MAX_DIFFERENCE:
        return VarlenBatch
    log.warning("attention pads texts to one length: torch.nn.attention.varlen is off by %.3f here", difference)
    return PackedBatch


@torch.inference_mode()
def measure_difference(device: torch.device, dtype: torch.dtype) -> float:
    """Return the greatest difference between the attention of VarlenBatch and of PackedBatch on the same texts."""
    random = torch.Generator().manual_seed(0)
    batch = [[1] * length for length in TEST_LENGTHS]
    with use_thread_stream(device):
        varlen, packed = VarlenBatch(batch, device), PackedBatch(batch, device)
        inputs = torch.randn(len(packed.ids), 3 * TEST_WIDTH, generator=random).to(device, dtype)
        outputs, expected = (texts.attend(inputs, TEST_HEADS)[: packed.count].float() for texts in (varlen, packed))
        return float((outputs - expected).abs().max())


def _load_kernel() -> Callable[..., Any]:
    """Return torch's variable-length attention. Raises ImportError before torch 2.10, which does not have it."""
    kernel: Callable[..., Any] = importlib.import_module("torch.nn.attention.varlen").varlen_attn
    return kernel
