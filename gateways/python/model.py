"""torch, as a Runtime: which models it finds, and how it loads them."""

from __future__ import annotations

import dataclasses
import importlib

import torch

from gateways.core.backend import Kind
from gateways.core.catalog import Catalog, Located
from gateways.core.runtime import Model
from gateways.core.settings import Settings
from gateways.core.tokens import TextTokenizer
from gateways.python import bert
from gateways.python.device import DTYPES, resolve

# What serves each kind, by its module: those on sentence-transformers take seconds to import.
ENGINES: dict[Kind, str] = {
    "dense": "dense.TorchDense",
    "sparse": "sparse.TorchSparse",
    "rerank": "cross_encoder.TorchCrossEncoder",
}
# One thread per model thread: threads inside an operator would fight over the same cores.
torch.set_num_threads(1)


def locate(model_id: str, models: Catalog, settings: Settings) -> Located:
    """Find a model's weights. ValueError for what this gateway does not do, CatalogError for its files."""
    precision = settings.precision
    if precision not in DTYPES:
        served = ", ".join(DTYPES)
        raise ValueError(f"PRECISION={precision}: the torch gateway serves {served}; use GATEWAY=onnx_py for int8")
    device = resolve(settings.device)
    return models.locate(settings.models_dir, model_id, "model.safetensors", precision=precision, device=device)


def load(located: Located, settings: Settings) -> Model:
    """Load a model of any kind. Raises CatalogError for a cross-encoder that is no reranker."""
    texts = TextTokenizer(located.folder / "tokenizer.json", located.info.max_input_tokens)
    info = dataclasses.replace(located.info, frame=texts.frame)
    located = dataclasses.replace(located, info=info)
    if info.kind == "dense" and bert.pooling_of(located):
        return bert.TorchBert(located, texts)
    module, _, engine = ENGINES[info.kind].partition(".")
    model: Model = getattr(importlib.import_module(f"gateways.python.{module}"), engine)(located, texts)
    return model
