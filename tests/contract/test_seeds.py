"""
The documented example requests of the systems that this project follows. They are data, in `seeds/*.json`.

A file has `requests`, which are sent in order. Each has `method`, `path`, `body` and the documented `answer`.
An answer has the fields that must be there, with their values. More fields are allowed. A value is plain, or one of:

* "$text", "$number", "$integer", "$boolean", "$object", each also "... or null"; "$fraction" is a number from 0 to 1
* {"$list": <its items>} with `at_least`, `at_most`, `ascending` or `descending` by a field, and `length`, which is a
  number or the name of a sibling field

`means` has the beginnings of lists. It applies only to a model that knows the meaning of words.
`placeholders` are words that stand for the id of a model of a kind, because some documented models need a hub.
`keep` puts fields of an answer into later paths. `until` repeats the request until a field has one of the values.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.client import JOB_S, ok

Step = dict[str, Any]

KINDS: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "number": (int, float),
    "fraction": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "object": (dict,),
    "null": (type(None),),
}


def read_seeds() -> list[Any]:
    """Return the content of every file, marked with the capabilities that its requests require."""
    parameters = []
    for file in sorted((Path(__file__).parent / "seeds").glob("*.json")):
        seed = json.loads(file.read_text())
        parameters.append(pytest.param(seed, id=file.stem, marks=pytest.mark.requires(*seed["requires"])))
    return parameters


@pytest.mark.parametrize("seed", read_seeds())
def test_the_documented_requests_are_answered(
    http: httpx.Client, capabilities: frozenset[str], seed: dict[str, Any]
) -> None:
    """Every documented example, sent word for word and in order, gets the documented answer."""
    names = resolve_placeholders(http, seed.get("placeholders", {}))
    fields: dict[str, Any] = {}

    for step in seed["requests"]:
        answer = replay_step(http, step, names, fields)
        assert_shape(answer, step["answer"], step["name"])
        if "semantics" in capabilities:
            assert_beginning(answer, step.get("means", {}), step["name"])
        fields |= {name: answer[field] for name, field in step.get("keep", {}).items()}


def resolve_placeholders(http: httpx.Client, placeholders: dict[str, str]) -> dict[str, str]:
    """Return the id of the first model of a kind for each placeholder."""
    if not placeholders:
        return {}
    models = ok(http.get("/v1/models"))["data"]
    return {
        word: next(model["id"] for model in models if model["kind"] == kind) for word, kind in placeholders.items()
    }


def replay_step(http: httpx.Client, step: Step, names: dict[str, str], fields: dict[str, Any]) -> Any:
    """Send a request and return its answer. The request is repeated until the answer matches `until`."""
    body = step.get("body")
    if body and body.get("model") in names:
        body = body | {"model": names[body["model"]]}
    deadline = time.monotonic() + JOB_S
    while True:
        response = http.request(step["method"], step["path"].format(**fields), json=body)
        assert response.status_code in step.get("status", [200]), f"{step['name']}: {response.text[:2000]}"
        answer = response.json()
        if all(answer[field] in ends for field, ends in step.get("until", {}).items()):
            return answer
        assert time.monotonic() < deadline, f"{step['name']}: {answer}"
        time.sleep(0.01)


def assert_shape(value: Any, shape: Any, at: str, siblings: dict[str, Any] | None = None) -> None:
    """Fail unless a value has its documented shape. `siblings` are the fields of the object around it."""
    if isinstance(shape, dict) and "$list" in shape:
        assert isinstance(value, list), f"{at}: {value!r}"
        _assert_length(value, shape, at, siblings or {})
        for position, item in enumerate(value):
            assert_shape(item, shape["$list"], f"{at}.{position}", siblings)
    elif isinstance(shape, dict):
        assert isinstance(value, dict), f"{at}: {value!r}"
        for name, inner in shape.items():
            assert name in value, f"{at}: no {name} among {list(value)}"
            assert_shape(value[name], inner, f"{at}.{name}", value)
    elif isinstance(shape, str) and shape.startswith("$"):
        _assert_kind(value, shape[1:], at)
    else:
        assert value == shape, f"{at}: {value!r} instead of {shape!r}"


def _assert_length(value: list[Any], shape: dict[str, Any], at: str, siblings: dict[str, Any]) -> None:
    length = shape.get("length", len(value))
    length = siblings[length] if isinstance(length, str) else length
    assert len(value) == length, f"{at}: {len(value)} instead of {length}"
    assert shape.get("at_least", 0) <= len(value) <= shape.get("at_most", len(value)), f"{at}: {len(value)}"
    for order in {"ascending", "descending"} & shape.keys():
        field = [item[shape[order]] for item in value]
        assert field == sorted(field, reverse=order == "descending"), f"{at}: not {order}: {field}"


def _assert_kind(value: Any, kinds: str, at: str) -> None:
    names = kinds.replace("$", "").split(" or ")
    fits = [
        name for name in names if isinstance(value, KINDS[name]) and isinstance(value, bool) == (name == "boolean")
    ]
    assert fits, f"{at}: {value!r} is no {kinds}"
    if fits == ["fraction"]:
        assert 0 <= value <= 1, f"{at}: {value}"


def assert_beginning(value: Any, expected: Any, at: str) -> None:
    """Fail unless each list in `value` begins with the items of the list in `expected`."""
    if isinstance(expected, list):
        for position, item in enumerate(expected):
            assert_beginning(value[position], item, f"{at}.{position}")
    elif isinstance(expected, dict):
        for name, inner in expected.items():
            assert_beginning(value[name], inner, f"{at}.{name}")
    else:
        assert value == expected, f"{at}: {value!r} instead of {expected!r}"
