"""What a gateway folder that runs models brings: a `model.py` that is a Runtime, and its Models."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

from gateways.core.backend import F16, F32, ModelInfo, SparseVector, TokenIds
from gateways.core.catalog import Catalog, Located
from gateways.core.planning import PassCost
from gateways.core.settings import Settings
from gateways.core.tokens import Pair, TextTokenizer

WARM_UP = "a warm question of about sixteen tokens, to measure the time of one pass"


class Model(Protocol):
    """
    What a gateway folder brings: sync, called from many threads. Each kind of model has the verbs of its kind.

    `cost` says what its passes cost, so that batches are made that cost little; where it can be measured, it is.
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
    """A gateway folder's `model.py`."""

    def locate(self, model_id: str, models: Catalog, settings: Settings) -> Located:
        """Find a model's files without loading them; CatalogError when this runtime cannot serve it."""
        ...

    def load(self, located: Located, settings: Settings) -> Model:
        """Load a model."""
        ...


def measure_ms(model: Any) -> float:
    """Return the best of three passes over one short text, which also warm the model up."""
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
