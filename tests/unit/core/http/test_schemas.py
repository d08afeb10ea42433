"""The bodies of all routes: lists stop at the first wrong item, and whole numbers may have a point."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import orjson
import pytest
from pydantic import BaseModel, ValidationError

import gateways.core.api
import gateways.core.dialects
import gateways.split.embed_service
from gateways.core.api.ingest import IngestRequest
from gateways.core.api.search import SearchRequest
from gateways.core.errors import InvalidRequest
from gateways.core.http.json_route import parse
from gateways.core.http.schemas import Lenient, Strict


def find_bodies() -> list[type[BaseModel]]:
    """Return every body model of the routes and of the embed service."""
    for package in (gateways.core.api, gateways.core.dialects, gateways.split.embed_service):
        for module in _modules(package):
            importlib.import_module(module)
    return sorted({*_subclasses(Strict), *_subclasses(Lenient)}, key=lambda model: model.__qualname__)


def _modules(package: ModuleType) -> Iterator[str]:
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if not module.name.endswith("__main__"):
            yield module.name


def _subclasses(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for child in model.__subclasses__():
        yield child
        yield from _subclasses(child)


def _lists(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield the list schemas of a core schema whose items may be wrong."""
    if isinstance(schema, dict):
        if schema.get("type") == "list" and schema.get("items_schema", {}).get("type") != "any":
            yield schema
        for value in schema.values():
            yield from _lists(value)
    elif isinstance(schema, list | tuple):
        for value in schema:
            yield from _lists(value)


def test_every_list_of_a_body_stops_at_its_first_wrong_item() -> None:
    """Answers are models too, but nobody validates them: their names end in Answer, or they are parts of one."""
    requests = [model for model in find_bodies() if model.__name__.endswith(("Request", "Input"))]
    checked = [(model.__name__, schema) for model in requests for schema in _lists(model.__pydantic_core_schema__)]

    assert {name for name, _ in checked} >= {"IngestRequest", "CohereEmbedRequest", "ChunkRequest"}
    assert [name for name, schema in checked if not schema.get("fail_fast")] == []


def _whole_number_fields() -> list[Any]:
    return [
        pytest.param(model, name, id=f"{model.__name__}.{name}")
        for model in find_bodies()
        if model.__name__.endswith("Request") or model.__name__ == "Chunk"
        for name, schema in model.model_json_schema()["properties"].items()
        if {"type": "integer"}.items() <= {**schema, **dict(_integer_part(schema))}.items()
    ]


def _integer_part(schema: dict[str, Any]) -> dict[str, Any]:
    return next((part for part in schema.get("anyOf", ()) if part.get("type") == "integer"), {})


@pytest.mark.parametrize(("model", "name"), _whole_number_fields())
def test_a_whole_number_may_have_a_point(model: type[BaseModel], name: str) -> None:
    """2.0 is 2 for Lua, R and some builders of JSON; 2.5 is no whole number."""
    assert _faults(model, name, 20.0) == []
    assert _faults(model, name, 20.5) == ["int_type"]
    assert _faults(model, name, 1e400) != []


def _faults(model: type[BaseModel], name: str, value: float) -> list[str]:
    """Return the types of the errors about a field; other fields are missing."""
    try:
        model.model_validate({name: value})
    except ValidationError as error:
        return [fault["type"] for fault in error.errors() if fault["loc"][0] in (name, "top_k")]
    return []


@pytest.mark.parametrize(
    ("model", "body", "message"),
    [
        (SearchRequest, {"querry": "x"}, "query is missing; did you mean it by 'querry'?"),
        (SearchRequest, {"nothing": "x"}, "query is missing."),
        (IngestRequest, {"documents": [{"txt": "x"}]}, "documents.0.text is missing; did you mean it by 'txt'?"),
        (SearchRequest, {"query": "x", "top_k": 0}, "top_k must be 1 or more, got 0."),
        (SearchRequest, {"query": "x", "top_k": 1e300}, "top_k must be 1000 or less, got 1e+300."),
        (SearchRequest, {"query": "x", "filter": [1]}, "filter must be a JSON object, got [1]."),
        (SearchRequest, {"query": "x", "mode": "all"}, "mode must be 'dense', 'sparse' or 'hybrid', got \"all\"."),
        (SearchRequest, {"query": "x", "explain": 1}, "explain must be true or false, got 1."),
        (
            SearchRequest,
            {"query": "x", "collection": "a b"},
            'collection must be 1 to 64 letters, digits, - or _, got "a b".',
        ),
        (IngestRequest, {"documents": [5]}, "documents.0 must be a JSON object, got 5."),
        (IngestRequest, {"documents": [{"text": "x", "id": ""}]}, 'documents.0.id must not be empty, got "".'),
    ],
)
def test_a_wrong_field_is_told_in_plain_words(model: type[BaseModel], body: dict[str, Any], message: str) -> None:
    """The place, what it must be, and what came."""
    with pytest.raises(InvalidRequest) as refusal:
        parse(model, orjson.dumps(body))

    assert refusal.value.message == message


def test_an_unknown_field_has_a_suggestion() -> None:
    """With all fields that there are."""
    with pytest.raises(InvalidRequest, match=r"^topk is not a known field; did you mean top_k\? Known here: query,"):
        parse(SearchRequest, b'{"query": "x", "topk": 3}')


def test_a_byte_that_is_no_utf8_is_shown_with_its_place() -> None:
    """As many editors count it."""
    with pytest.raises(InvalidRequest, match="byte 0xe9 at offset 14"):
        parse(SearchRequest, b'{"query": "caf\xe9"}')


def test_a_wrong_value_of_megabytes_is_shown_in_a_line() -> None:
    """Its beginning, and no more of it is written down."""
    with pytest.raises(InvalidRequest) as refusal:
        parse(SearchRequest, orjson.dumps({"query": [["x" * 1_000_000] * 5]}))

    assert len(refusal.value.message) < 150
