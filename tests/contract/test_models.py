"""`GET /v1/models`: OpenAI's list, with the facts that a client needs to choose a model."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.contract.client import assert_error, embed, ok

pytestmark = pytest.mark.requires("models")

FIELDS = {
    "id": str,
    "object": str,
    "created": int,
    "owned_by": str,
    "kind": str,
    "dimensions": int,
    "max_input_tokens": int,
    "languages": list,
    "loaded": bool,
    "device": str,
    "precision": str,
    "aliases": list,
}


def test_the_list_is_openais(http: httpx.Client) -> None:
    """The answer has `object: list` and `data`. Each entry is an object `model` with all of its facts."""
    answer = ok(http.get("/v1/models"))

    assert answer["object"] == "list"
    assert answer["data"]
    for entry in answer["data"]:
        assert entry["object"] == "model"
        for name, kind in FIELDS.items():
            assert isinstance(entry[name], kind), name


def test_a_dense_model_declares_sane_facts(model: dict[str, Any]) -> None:
    """The default model is dense and loaded, and has dimensions and a token limit."""
    assert model["kind"] == "dense"
    assert model["loaded"] is True
    assert model["dimensions"] > 0
    assert model["max_input_tokens"] > 0


def test_each_model_is_found_by_each_of_its_names(http: httpx.Client) -> None:
    """`/v1/models/{id}` accepts ids and aliases, also with a slash, percent-encoded or not."""
    for entry in ok(http.get("/v1/models"))["data"]:
        for name in [entry["id"], *entry["aliases"]]:
            assert ok(http.get(f"/v1/models/{name}")) == entry
            assert ok(http.get(f"/v1/models/{quote(name, safe='')}")) == entry


@pytest.mark.requires("semantics")
def test_a_real_model_has_its_hub_name_and_languages(model: dict[str, Any]) -> None:
    """The default model has its name at the hub, with a slash, as id or alias."""
    assert any("/" in name for name in [model["id"], *model["aliases"]])
    assert model["languages"]


def test_the_default_model_answers_when_none_is_named(http: httpx.Client, model: dict[str, Any]) -> None:
    """Embeddings without `model` name a model of the list."""
    assert embed(http, "who answers?")["model"] == model["id"]
    assert model["id"] in {entry["id"] for entry in ok(http.get("/v1/models"))["data"]}


@pytest.mark.parametrize("name", ["no-such-model", "no/such/model", "all-MiniLM-L6-v2x"])
def test_an_unknown_model_is_not_found(http: httpx.Client, name: str) -> None:
    """An unknown model is a 404 that names it, and a model that exists."""
    error = assert_error(http.get(f"/v1/models/{name}"), 404, "unknown_model")

    assert name in error["message"]
    assert ok(http.get("/v1/models"))["data"][0]["id"] in error["message"]


@pytest.mark.requires("embeddings")
def test_an_unknown_name_is_told_how_to_become_an_alias(http: httpx.Client) -> None:
    """Code that cannot be changed asks for another service's model."""
    error = assert_error(http.post("/v1/embeddings", json={"input": "x", "model": "text-embedding-3-small"}), 404)

    assert "`aliases`" in error["message"]
    assert error["param"] == "model"
