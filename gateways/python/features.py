"""Token batches as the input of sentence-transformers' modules, and what comes out of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from gateways.core.backend import F32, TokenIds

Features = dict[str, torch.Tensor]
# The precision that /v1/models tells; left alone, transformers loads what a file has, which may be bfloat16.
LOADING = {"dtype": torch.float32, "use_safetensors": True}


def padded(batch: Sequence[TokenIds]) -> Features:
    """Return ids and mask of n token lists, each int64 (n, longest), zeros after a row's end."""
    longest = max(map(len, batch))
    ids = torch.zeros((len(batch), longest), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, tokens in enumerate(batch):
        ids[row, : len(tokens)] = torch.as_tensor(tokens)
        mask[row, : len(tokens)] = 1
    return {"input_ids": ids, "attention_mask": mask}


@torch.inference_mode()
def run(modules: Iterable[torch.nn.Module], features: Features, device: torch.device, *outputs: str) -> list[F32]:
    """Return outputs of the modules, run one after another, each as float32."""
    features = {name: value.to(device) for name, value in features.items()}
    for module in modules:
        features = module(features)
    return [np.ascontiguousarray(features[output].float().cpu().numpy()) for output in outputs]
