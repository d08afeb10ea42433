"""The ONNX Runtime: locate the exported graph of a model, and load it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import onnxruntime as ort

from gateways.core.backend import Kind, ModelInfo
from gateways.core.models.catalog import Catalog, Located
from gateways.core.models.file_checks import check_files
from gateways.core.models.runtime import Model
from gateways.core.settings import ModelSettings
from gateways.core.text.tokenizer import TextTokenizer
from gateways.onnx_py.cross_encoder import OnnxCrossEncoder
from gateways.onnx_py.dense import OnnxDense
from gateways.onnx_py.session import open_session, select_device
from gateways.onnx_py.sparse import OnnxSparse

PRECISIONS = ("fp32", "int8")
ENGINES: dict[Kind, Callable[[ort.InferenceSession, TextTokenizer, ModelInfo], Model]] = {
    "dense": OnnxDense,
    "sparse": OnnxSparse,
    "rerank": OnnxCrossEncoder,
}


def locate(model_id: str, models: Catalog, settings: ModelSettings) -> Located:
    """
    Locate the exported graph of a model in PRECISION, or in fp32 if the model is not exported in PRECISION.

    Raises ValueError for a wrong PRECISION or DEVICE, CatalogError for missing files.
    """
    if settings.precision not in PRECISIONS:
        supported = " and ".join(PRECISIONS)
        raise ValueError(
            f"PRECISION={settings.precision}: the ONNX gateway serves {supported}; use GATEWAY=python for the others"
        )
    entry = models.models[model_id]
    # int8 is calibrated and judged for dense models only.
    precision = settings.precision if entry.kind == "dense" and settings.precision in entry.precision else "fp32"
    device = select_device(settings)
    return models.locate(settings.models_dir, model_id, f"onnx/{precision}.onnx", precision=precision, device=device)


def load(located: Located, settings: ModelSettings) -> Model:
    """Load the graph of a model of any kind. Raises CatalogError for a file that is not the exported one."""
    check_files(located, whole=settings.verify_models)
    texts = TextTokenizer(located.folder / "tokenizer.json", located.info.max_input_tokens)
    info = dataclasses.replace(located.info, frame=texts.frame)
    return ENGINES[info.kind](open_session(located.weights, settings), texts, info)
