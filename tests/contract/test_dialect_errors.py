"""Every route of every dialect refuses a model of the wrong kind, in the error shape of the dialect."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.contract.client import Json, ok
from tests.contract.shapes import SHAPES

pytestmark = pytest.mark.requires("dialects", "models", "rerank", "sparse")

EMBED: Json = {"texts": ["a"], "inputs": ["a"], "input": ["a"]}
RERANK: Json = {"query": "q", "documents": ["a"], "texts": ["a"]}
DETAIL, TEI, COHERE = ("detail", 400, "wrong_model_kind"), ("tei", 424, "Backend"), ("cohere", 400, None)
ROUTES: list[Any] = [
    ("/embed", ("texts",), "dense", DETAIL),
    ("/embed", ("inputs",), "dense", TEI),
    ("/", ("inputs",), "dense", TEI),
    ("/embed_all", ("inputs",), "dense", TEI),
    ("/embed_sparse", ("inputs",), "sparse", TEI),
    ("/tokenize", ("inputs",), "dense", TEI),
    ("/rerank", ("query", "documents"), "rerank", DETAIL),
    ("/rerank", ("query", "texts"), "rerank", TEI),
    ("/api/v1/embeddings", ("input",), "dense", DETAIL),
    ("/api/v1/embed", ("input",), "dense", DETAIL),
    ("/api/v1/embed_sparse", ("input",), "sparse", DETAIL),
    ("/api/v1/rerank", ("query", "documents"), "rerank", DETAIL),
    ("/v1/embed", ("texts",), "dense", COHERE),
    ("/v2/embed", ("texts",), "dense", COHERE),
    ("/v2/rerank", ("query", "documents"), "rerank", COHERE),
]


@pytest.mark.parametrize(("path", "fields", "kind", "error_form"), ROUTES, ids=lambda value: str(value))
def test_a_model_of_another_kind_is_refused(
    http: httpx.Client, path: str, fields: tuple[str, ...], kind: str, error_form: tuple[str, int, str | None]
) -> None:
    """The message names the model, its kind, and the kind that is needed."""
    models = ok(http.get("/v1/models"))["data"]
    wrong_models = {model["kind"]: model["id"] for model in models if model["kind"] != kind}
    shape, status, code = error_form

    assert len(wrong_models) == 2
    for wrong_kind, name in wrong_models.items():
        body = {field: (RERANK if "query" in fields else EMBED)[field] for field in fields} | {"model": name}
        error = SHAPES[shape](http.post(path, json=body), status, code)
        for word in (name, wrong_kind, kind):
            assert word in error["message"]
