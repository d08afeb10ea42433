"""The registry: stored vectors are searched and written only with models that make vectors like them."""

from __future__ import annotations

import pytest

from gateways.core.errors import BackendUnavailable
from gateways.core.inference.pseudo_backend import DEFAULT, PseudoBackend
from gateways.core.models.registry import ModelRegistry
from gateways.core.scoring import bm25
from gateways.core.vector_source import VectorSource

INT8 = VectorSource(precision="int8")


def test_vectors_of_another_source_are_refused() -> None:
    """As after a change of the upstream, or of a shared collection by another gateway. Both sources are told."""
    registry = ModelRegistry(PseudoBackend())

    with pytest.raises(
        BackendUnavailable, match="with precision int8, and it is served with precision pseudo"
    ) as error:
        registry.check_source(INT8, DEFAULT, bm25.ID)

    assert error.value.code == "vector_mismatch"


@pytest.mark.parametrize(
    ("stored", "model", "allow"),
    [
        (None, DEFAULT, False),
        (VectorSource(), DEFAULT, False),
        (VectorSource(precision="pseudo"), DEFAULT, False),
        (INT8, "unknown", False),
        (INT8, DEFAULT, True),
    ],
)
def test_other_vectors_are_accepted(stored: VectorSource | None, model: str, allow: bool) -> None:
    """An unknown source agrees with all, an unknown model is the caller's to refuse, and the setting allows all."""
    registry = ModelRegistry(PseudoBackend(), allow_vector_mismatch=allow)

    for _ in range(2):
        registry.check_source(stored, model, bm25.ID)
