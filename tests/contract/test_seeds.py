"""
The documented example requests of the systems this project follows, as data: `seeds/*.json`.

A file has `requests`, sent in order: `method`, `path`, `body`, and the `answer` as documented. An answer names the
fields that must be there (more may be) and their values; a value is plain, or one of:

* "$text", "$number", "$integer", "$boolean", "$object", each also "... or null"; "$fraction" is a number from 0 to 1
* {"$list": <its items>} with `length` (a number, or the name of the field beside that tells it), `at_least`,
  `at_most`, and `ascending` or `descending` by a field

`means` holds only where the model knows what words mean: what its lists must begin with. `placeholders` are words
that stand for the id of a model of a kind, names of rerankers whose weights need a hub among them; `keep` takes
fields of an answer into later paths; `until` repeats the request.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.wire import JOB_S, ok

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


def seeds() -> list[Any]:
    """Read every file, with the capabilities its requests need."""
    found = []
    for file in sorted((Path(__file__).parent / "seeds").glob("*.json")):
        seed = json.loads(file.read_text())
        found.append(pytest.param(seed, id=file.stem, marks=pytest.mark.requires(*seed["requires"])))
    return found


@pytest.mark.parametrize("seed", seeds())
def test_the_documented_requests_are_answered(
    http: httpx.Client, capabilities: frozenset[str], seed: dict[str, Any]
) -> None:
    """Every example a seed documents, word for word and in order, gets the answer that is documented."""
    names = served(http, seed.get("placeholders", {}))
    kept: dict[str, Any] = {}

    for step in seed["requests"]:
        answer = replay(http, step, names, kept)
        agrees(answer, step["answer"], step["name"])
        if "semantics" in capabilities:
            begins(answer, step.get("means", {}), step["name"])
        kept |= {name: answer[field] for name, field in step.get("keep", {}).items()}


def served(http: httpx.Client, placeholders: dict[str, str]) -> dict[str, str]:
    """Return for each placeholder the id of the first model of its kind."""
    if not placeholders:
        return {}
    models = ok(http.get("/v1/models"))["data"]
    return {
        word: next(model["id"] for model in models if model["kind"] == kind) for word, kind in placeholders.items()
    }


def replay(http: httpx.Client, step: Step, names: dict[str, str], kept: dict[str, Any]) -> Any:
    """Send one request, again while `until` is not reached, and return its answer."""
    body = step.get("body")
    if body and body.get("model") in names:
        body = body | {"model": names[body["model"]]}
    deadline = time.monotonic() + JOB_S
    while True:
        response = http.request(step["method"], step["path"].format(**kept), json=body)
        assert response.status_code in step.get("status", [200]), f"{step['name']}: {response.text[:2000]}"
        answer = response.json()
        if all(answer[field] in ends for field, ends in step.get("until", {}).items()):
            return answer
        assert time.monotonic() < deadline, f"{step['name']}: {answer}"
        time.sleep(0.01)


def agrees(value: Any, shape: Any, at: str, beside: dict[str, Any] | None = None) -> None:
    """Hold a value to its documented shape; `beside` are the fields next to it."""
    if isinstance(shape, dict) and "$list" in shape:
        assert isinstance(value, list), f"{at}: {value!r}"
        _counts(value, shape, at, beside or {})
        for position, item in enumerate(value):
            agrees(item, shape["$list"], f"{at}.{position}", beside)
    elif isinstance(shape, dict):
        assert isinstance(value, dict), f"{at}: {value!r}"
        for name, inner in shape.items():
            assert name in value, f"{at}: no {name} among {list(value)}"
            agrees(value[name], inner, f"{at}.{name}", value)
    elif isinstance(shape, str) and shape.startswith("$"):
        _is_a(value, shape[1:], at)
    else:
        assert value == shape, f"{at}: {value!r} instead of {shape!r}"


def _counts(value: list[Any], shape: dict[str, Any], at: str, beside: dict[str, Any]) -> None:
    length = shape.get("length", len(value))
    length = beside[length] if isinstance(length, str) else length
    assert len(value) == length, f"{at}: {len(value)} instead of {length}"
    assert shape.get("at_least", 0) <= len(value) <= shape.get("at_most", len(value)), f"{at}: {len(value)}"
    for order in {"ascending", "descending"} & shape.keys():
        field = [item[shape[order]] for item in value]
        assert field == sorted(field, reverse=order == "descending"), f"{at}: not {order}: {field}"


def _is_a(value: Any, kinds: str, at: str) -> None:
    names = kinds.replace("$", "").split(" or ")
    fits = [
        name for name in names if isinstance(value, KINDS[name]) and isinstance(value, bool) == (name == "boolean")
    ]
    assert fits, f"{at}: {value!r} is no {kinds}"
    if fits == ["fraction"]:
        assert 0 <= value <= 1, f"{at}: {value}"


def begins(value: Any, expected: Any, at: str) -> None:
    """Hold the first items of each list that `expected` names to what it says of them."""
    if isinstance(expected, list):
        for position, item in enumerate(expected):
            begins(value[position], item, f"{at}.{position}")
    elif isinstance(expected, dict):
        for name, inner in expected.items():
            begins(value[name], inner, f"{at}.{name}")
    else:
        assert value == expected, f"{at}: {value!r} instead of {expected!r}"
