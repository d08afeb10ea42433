"""ONNX Runtime, as a Runtime: which models it finds, and how it loads them."""

from __future__ import annotations

from gateways.core.catalog import Catalog, CatalogError, Located
from gateways.core.local import Model
from gateways.core.settings import Settings
from gateways.core.tokens import TextTokenizer
from gateways.onnx_py.dense import OnnxDense
from gateways.onnx_py.session import device, open_session


def locate(model_id: str, models: Catalog, settings: Settings) -> Located:
    """Find the exported graph of a model: in PRECISION, or in fp32 where it has no other. Raises CatalogError."""
    precision = settings.precision if settings.precision in models.models[model_id].precision else "fp32"
    return models.locate(
        settings.models_dir, model_id, f"onnx/{precision}.onnx", precision=precision, device=device(settings)
    )


def load(located: Located, settings: Settings) -> Model:
    """Load a graph. Raises CatalogError for a kind that has no engine here."""
    texts = TextTokenizer(located.folder / "tokenizer.json", located.info.max_input_tokens)
    session = open_session(located.weights, settings)
    if located.info.kind == "dense":
        return OnnxDense(session, texts, located.info)
    raise CatalogError(f"{located.info.id} is a {located.info.kind} model, which this gateway cannot load")
