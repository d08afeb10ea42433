"""Token batches as the input of sentence-transformers' modules, and what comes out of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from gateways.core.backend import F32, TokenIds
from gateways.python.device import DTYPES, fetched, own_stream

Features = dict[str, torch.Tensor]
STATES = "token_embeddings"


def loading(precision: str) -> dict[str, Any]:
    """Return how transformers loads a model: left alone, in what its file has, which may be bfloat16."""
    return {"dtype": DTYPES[precision], "use_safetensors": True}


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
    """Return outputs of the modules, run one after another, each as float32; what pools has float32 to pool."""
    with own_stream(device):
        features = {name: value.to(device) for name, value in features.items()}
        for module in modules:
            features = module(features)
            if STATES in features:
                features[STATES] = features[STATES].float()
        return [np.ascontiguousarray(fetched(features[output]).numpy()) for output in outputs]
