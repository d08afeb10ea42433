"""The source of stored vectors: what made them, beside the ids of the models that the profile names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from gateways.core.backend import UNKNOWN_PRECISION, ModelInfo


@dataclass(frozen=True, slots=True)
class VectorSource:
    """
    What made the vectors of a collection. A field that is None is unknown, and agrees with everything.

    The first four fields are of the dense model, which makes token vectors too. `document_prompt` is the text before
    each passage. The fields `sparse_…` are of the sparse model.
    """

    precision: str | None = None
    revision: str | None = None
    pooling: str | None = None
    document_prompt: str | None = None
    sparse_precision: str | None = None
    sparse_revision: str | None = None

    def differences(self, other: VectorSource) -> dict[str, tuple[str, str]]:
        """Return the values of self and of `other` by the fields that both know and that differ."""
        pairs = {field.name: (getattr(self, field.name), getattr(other, field.name)) for field in fields(self)}
        return {name: pair for name, pair in pairs.items() if None not in pair and pair[0] != pair[1]}


def describe_differences(one: VectorSource, other: VectorSource) -> tuple[str, str]:
    """Return how each of two sources differs from the other one, such as "precision int8"."""
    pairs = one.differences(other).items()
    return (
        _describe((name, value) for name, (value, _) in pairs),
        _describe((name, value) for name, (_, value) in pairs),
    )


def source_of(dense: ModelInfo, sparse: ModelInfo | None) -> VectorSource:
    """Return the source of the vectors that two models make."""
    return VectorSource(
        precision=_known_precision(dense),
        revision=dense.revision,
        pooling=dense.pooling,
        document_prompt=dict(dense.prompts).get("document"),
        sparse_precision=_known_precision(sparse) if sparse else None,
        sparse_revision=sparse.revision if sparse else None,
    )


def find_source(models: Sequence[ModelInfo], dense: str, sparse: str) -> VectorSource | None:
    """Return the source of the vectors that the models with these ids make, None if the dense one is not served."""
    served = {(model.kind, model.id): model for model in models}
    dense_model = served.get(("dense", dense))
    return source_of(dense_model, served.get(("sparse", sparse))) if dense_model else None


def parse_source(values: Mapping[str, Any]) -> VectorSource:
    """Return the source in a JSON object. Fields of a later version are ignored, and missing ones are unknown."""
    return VectorSource(**{field.name: values.get(field.name) for field in fields(VectorSource)})


def _known_precision(model: ModelInfo) -> str | None:
    return None if model.precision == UNKNOWN_PRECISION else model.precision


def _describe(values: Iterable[tuple[str, str]]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {value if re.fullmatch(r'[!-~]+', value) else repr(value)}"
        for name, value in values
    )
