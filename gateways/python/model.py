"""sentence-transformers on torch, as a Model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Normalize

from gateways.core import catalog
from gateways.core.backend import F32, Inputs, ModelInfo, TokenIds, Truncate
from gateways.core.settings import Settings
from gateways.core.tokens import TextTokenizer


class TorchModel:
    """The modules of a SentenceTransformer, run on token batches that are made once, before the queue."""

    def __init__(self, encoder: SentenceTransformer, tokenizer: TextTokenizer, info: ModelInfo) -> None:
        # The vectors leave here as pooled: normalising is the caller's choice.
        self._modules = [module for module in encoder if not isinstance(module, Normalize)]
        self._tokenizer = tokenizer
        self._device = torch.device(encoder.device)
        self._info = info

    @property
    def info(self) -> ModelInfo:
        """Describe the model as loaded."""
        return self._info

    def tokenize(self, inputs: Inputs, truncate: Truncate) -> list[TokenIds]:
        """Return n token lists, special tokens included."""
        return self._tokenizer.tokenize(inputs, truncate)

    @torch.inference_mode()
    def encode(self, batch: Sequence[TokenIds]) -> F32:
        """Return the pooled vectors of n token lists, float32 (n, dimensions)."""
        longest = max(map(len, batch))
        ids = torch.zeros((len(batch), longest), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = torch.as_tensor(tokens)
            mask[row, : len(tokens)] = 1
        features = {"input_ids": ids.to(self._device), "attention_mask": mask.to(self._device)}
        for module in self._modules:
            features = module(features)
        pooled: F32 = features["sentence_embedding"].float().cpu().numpy()
        return np.ascontiguousarray(pooled)


def load(settings: Settings) -> TorchModel:
    """Load the model from MODELS_DIR; ValueError for what this gateway does not do, CatalogError for its files."""
    if settings.precision != "fp32":
        raise ValueError("PRECISION=int8: the torch gateway serves fp32; use GATEWAY=onnx_py for int8")
    models = catalog.load(settings.models_file)
    model_id = models.resolve(settings.model)
    folder = catalog.folder(settings.models_dir, model_id)
    device = ("cuda" if torch.cuda.is_available() else "cpu") if settings.device == "auto" else settings.device
    # One thread per model thread: threads inside an operator would fight over the same cores.
    torch.set_num_threads(1)
    encoder = SentenceTransformer(str(folder), device=device, local_files_only=True).eval()
    info = models.info(model_id, precision="fp32", device=device)
    return TorchModel(encoder, TextTokenizer(folder / "tokenizer.json", info.max_input_tokens), info)
