"""The torch Runtime: locate the weights of a model, and load it."""

from __future__ import annotations

import dataclasses
import importlib

import torch

from gateways.core.backend import Kind
from gateways.core.models.catalog import Catalog, Located
from gateways.core.models.file_checks import check_files
from gateways.core.models.runtime import Model
from gateways.core.settings import ModelSettings
from gateways.core.text.tokenizer import TextTokenizer
from gateways.python import bert
from gateways.python.device import DTYPES, resolve_device

# "module.Class" of each kind, imported on use: the modules on sentence-transformers take seconds to import.
ENGINES: dict[Kind, str] = {
    "dense": "dense.TorchDense",
    "sparse": "sparse.TorchSparse",
    "rerank": "cross_encoder.TorchCrossEncoder",
}
# One thread per operator: the gateway runs several batches in parallel, and more threads would contend for its cores.
torch.set_num_threads(1)


def locate(model_id: str, models: Catalog, settings: ModelSettings) -> Located:
    """Locate a model's weights. Raises ValueError for a wrong PRECISION or DEVICE, CatalogError for missing files."""
    precision = settings.precision
    if precision not in DTYPES:
        supported = ", ".join(DTYPES)
        raise ValueError(f"PRECISION={precision}: the torch gateway serves {supported}; use GATEWAY=onnx_py for int8")
    device = resolve_device(settings.device)
    return models.locate(settings.models_dir, model_id, "model.safetensors", precision=precision, device=device)


def load(located: Located, settings: ModelSettings) -> Model:
    """Load a model of any kind. Raises CatalogError for a damaged file, or a cross-encoder with two labels."""
    check_files(located, whole=settings.verify_models)
    texts = TextTokenizer(located.folder / "tokenizer.json", located.info.max_input_tokens)
    info = dataclasses.replace(located.info, frame=texts.frame)
    located = dataclasses.replace(located, info=info)
    if info.kind == "dense" and bert.find_pooling(located):
        return bert.TorchBert(located, texts)
    module, _, engine = ENGINES[info.kind].partition(".")
    model: Model = getattr(importlib.import_module(f"gateways.python.{module}"), engine)(located, texts)
    return model
