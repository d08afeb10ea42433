"""ONNX Runtime, as a Runtime: which models it finds, and how it loads them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import onnxruntime as ort

from gateways.core.backend import Kind, ModelInfo
from gateways.core.catalog import Catalog, Located
from gateways.core.runtime import Model
from gateways.core.settings import Settings
from gateways.core.tokens import TextTokenizer
from gateways.onnx_py.cross_encoder import OnnxCrossEncoder
from gateways.onnx_py.dense import OnnxDense
from gateways.onnx_py.session import device, open_session
from gateways.onnx_py.sparse import OnnxSparse

PRECISIONS = ("fp32", "int8")
ENGINES: dict[Kind, Callable[[ort.InferenceSession, TextTokenizer, ModelInfo], Model]] = {
    "dense": OnnxDense,
    "sparse": OnnxSparse,
    "rerank": OnnxCrossEncoder,
}


def locate(model_id: str, models: Catalog, settings: Settings) -> Located:
    """Find the exported graph of a model: in PRECISION, or in fp32 where it has no other. Raises CatalogError."""
    if settings.precision not in PRECISIONS:
        served = " and ".join(PRECISIONS)
        raise ValueError(
            f"PRECISION={settings.precision}: the ONNX gateway serves {served}; GATEWAY=python the others"
        )
    entry = models.models[model_id]
    # int8 is calibrated and judged for dense models only.
    precision = settings.precision if entry.kind == "dense" and settings.precision in entry.precision else "fp32"
    return models.locate(
        settings.models_dir, model_id, f"onnx/{precision}.onnx", precision=precision, device=device(settings)
    )


def load(located: Located, settings: Settings) -> Model:
    """Load a graph of any kind."""
    texts = TextTokenizer(located.folder / "tokenizer.json", located.info.max_input_tokens)
    info = dataclasses.replace(located.info, frame=texts.frame)
    return ENGINES[info.kind](open_session(located.weights, settings), texts, info)
