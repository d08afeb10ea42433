"""sentence-transformers on torch, as a Runtime: which models it finds, and how it loads them."""

from __future__ import annotations

import torch

from gateways.core.catalog import Catalog, CatalogError, Located
from gateways.core.local import Model
from gateways.core.settings import Settings
from gateways.core.tokens import TextTokenizer
from gateways.python.dense import TorchDense

# One thread per model thread: threads inside an operator would fight over the same cores.
torch.set_num_threads(1)


def locate(model_id: str, models: Catalog, settings: Settings) -> Located:
    """Find a model's weights. ValueError for what this gateway does not do, CatalogError for its files."""
    if settings.precision != "fp32":
        raise ValueError("PRECISION=int8: the torch gateway serves fp32; use GATEWAY=onnx_py for int8")
    return models.locate(
        settings.models_dir, model_id, "model.safetensors", precision="fp32", device=_device(settings)
    )


def load(located: Located, settings: Settings) -> Model:
    """Load a model. Raises CatalogError for a kind that has no engine here."""
    texts = TextTokenizer(located.folder / "tokenizer.json", located.info.max_input_tokens)
    if located.info.kind == "dense":
        return TorchDense(located, texts)
    raise CatalogError(f"{located.info.id} is a {located.info.kind} model, which this gateway cannot load")


def _device(settings: Settings) -> str:
    return ("cuda" if torch.cuda.is_available() else "cpu") if settings.device == "auto" else settings.device
