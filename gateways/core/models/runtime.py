"""The interface of a gateway folder that runs models: its `runtime.py` is a Runtime and loads Models."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

from gateways.core.backend import F16, F32, ModelInfo, PassCost, SparseVector, TokenIds
from gateways.core.models.catalog import Catalog, Located
from gateways.core.settings import ModelSettings
from gateways.core.text.tokenizer import Pair, TextTokenizer

WARM_UP = "a warm question of about sixteen tokens, to measure the time of one pass"


class Model(Protocol):
    """
    A loaded model. Methods are synchronous and called from many threads; each kind has methods of its own.

    `cost` is the cost of a forward pass, by which batches are planned. It is measured where that is possible.
    """

    cost: PassCost

    @property
    def info(self) -> ModelInfo:
        """Describe the model as loaded."""
        ...

    @property
    def texts(self) -> TextTokenizer:
        """Return its tokenizer."""
        ...


class DenseModel(Model, Protocol):
    """Texts to vectors."""

    def encode(self, batch: Sequence[TokenIds]) -> F32:
        """Return the pooled vectors of n token lists, float32 (n, dimensions), not normalised."""
        ...

    def encode_tokens(self, batch: Sequence[TokenIds]) -> Sequence[F32]:
        """Return the last hidden states of n token lists, each float32 (tokens, dimensions)."""
        ...

    def encode_with_tokens(self, batch: Sequence[TokenIds]) -> Sequence[tuple[F32, F16]]:
        """Return the pooled vectors of n token lists, and unit vectors of all tokens but the special ones."""
        ...


class SparseModel(Model, Protocol):
    """Texts to weighted vocabularies."""

    def encode(self, batch: Sequence[TokenIds]) -> Sequence[SparseVector]:
        """Return the sparse vectors of n token lists."""
        ...


class CrossEncoder(Model, Protocol):
    """Pairs to scores."""

    def predict(self, batch: Sequence[Pair]) -> F32:
        """Return the logits of n pairs, float32 (n,)."""
        ...


class Runtime(Protocol):
    """The module `runtime.py` of a gateway folder."""

    def locate(self, model_id: str, models: Catalog, settings: ModelSettings) -> Located:
        """Find the files of a model without loading them. Raises CatalogError if this runtime cannot serve it."""
        ...

    def load(self, located: Located, settings: ModelSettings) -> Model:
        """Load a model."""
        ...


def measure_ms(model: Any) -> float:
    """Return the fastest of three passes over one short text, in milliseconds. The passes are the warm-up, too."""
    if model.info.kind == "rerank":
        run, batch = model.predict, model.texts.pairs(WARM_UP, [WARM_UP], "END")
    else:
        run, batch = model.encode, model.texts.tokenize([WARM_UP], "END")
    passes_ms = []
    for _ in range(3):
        started_s = time.perf_counter()
        run(batch)
        passes_ms.append((time.perf_counter() - started_s) * 1e3)
    return min(passes_ms)
