"""Run the modules of a sentence-transformers model on token batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from gateways.core.backend import F32, TokenIds
from gateways.python.device import DTYPES, to_cpu, use_thread_stream

Features = dict[str, torch.Tensor]
STATES = "token_embeddings"


def loading_options(precision: str) -> dict[str, Any]:
    """Return the options of `from_pretrained`. Without `dtype` the type is the file's own, often bfloat16."""
    return {"dtype": DTYPES[precision], "use_safetensors": True}


def pad_tokens(batch: Sequence[TokenIds]) -> Features:
    """Return ids and mask of n token lists, int64 (n, longest) each, zeros after the end of a row."""
    longest = max(map(len, batch))
    ids = torch.zeros((len(batch), longest), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, tokens in enumerate(batch):
        ids[row, : len(tokens)] = torch.as_tensor(tokens)
        mask[row, : len(tokens)] = 1
    return {"input_ids": ids, "attention_mask": mask}


@torch.inference_mode()
def run_modules(
    modules: Iterable[torch.nn.Module], features: Features, device: torch.device, *outputs: str
) -> list[F32]:
    """Run the modules in sequence. Returns the features named `outputs` as float32; pooling reads float32 states."""
    with use_thread_stream(device):
        features = {name: value.to(device) for name, value in features.items()}
        for module in modules:
            features = module(features)
            if STATES in features:
                features[STATES] = features[STATES].float()
        return [np.ascontiguousarray(to_cpu(features[output]).numpy()) for output in outputs]
