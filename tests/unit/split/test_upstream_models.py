"""What the thin gateway reads of the models of its embed service, of this version and of others."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import orjson
import pytest

from gateways.core.backend import ModelInfo
from gateways.core.inference.pseudo_backend import PseudoBackend
from gateways.core.settings import UpstreamSettings
from gateways.split.gateway.dialects.base import Ask, Dialect
from gateways.split.gateway.dialects.native import Native
from gateways.split.gateway.dialects.tei import Tei

T = TypeVar("T")
TEI_INFO = {
    "model_id": "org/small",
    "model_sha": "a" * 40,
    "model_dtype": "float16",
    "model_type": {"embedding": {"pooling": "cls"}},
    "max_input_length": 512,
    "max_client_batch_size": 32,
}
TOKEN = {"id": 1, "text": "probe", "special": False, "start": 0, "stop": 5}


def read_models(dialect: Dialect, answers: Mapping[str, Any]) -> tuple[ModelInfo, ...]:
    """Return the models that a dialect reads from a service with these answers, by path."""

    async def send(ask: Ask[T]) -> T:
        return ask.read(orjson.dumps(answers[ask.path]))

    return asyncio.run(dialect.models(send))


def health(**changes: Any) -> dict[str, Any]:
    """Return the health of our embed service; a change to None takes a field away."""
    fields = [dataclasses.asdict(model) | changes for model in PseudoBackend().models()]
    models = [{name: value for name, value in model.items() if value is not None} for model in fields]
    return {"healthz": {"status": "ok", "models": models}}


def test_all_fields_are_read() -> None:
    """A model of an embed service of this version is the same here."""
    dense, *_ = read_models(Native(UpstreamSettings()), health(revision="a" * 40, pooling="mean"))

    assert (dense.revision, dense.pooling) == ("a" * 40, "mean")
    assert dense == dataclasses.replace(PseudoBackend().models()[0], revision="a" * 40, pooling="mean")


def test_a_service_of_the_version_before_is_read() -> None:
    """It tells neither revision nor pooling: both are unknown."""
    models = read_models(Native(UpstreamSettings()), health(revision=None, pooling=None))

    assert models == tuple(PseudoBackend().models())


def test_a_service_of_a_later_version_is_read() -> None:
    """Fields that are not known here are ignored, and the service is not taken for absent."""
    assert read_models(Native(UpstreamSettings()), health(later=[1, 2])) == tuple(PseudoBackend().models())


@pytest.mark.parametrize(
    ("changes", "revision", "pooling"),
    [
        ({}, "a" * 40, "cls"),
        ({"model_sha": None, "model_type": {"embedding": {}}}, None, None),
        ({"model_type": ["embedding"]}, "a" * 40, None),
    ],
)
def test_tei_tells_revision_and_pooling(changes: dict[str, Any], revision: str | None, pooling: str | None) -> None:
    """As `model_sha` and `model_type` of `/info`; a service that leaves them out is one whose source is unknown."""
    answers = {
        "info": TEI_INFO | changes,
        "embed": np.ones((1, 4)).tolist(),
        "tokenize": [[TOKEN]],
    }

    dense, _ = read_models(Tei(UpstreamSettings()), answers)

    assert (dense.precision, dense.revision, dense.pooling) == ("float16", revision, pooling)
