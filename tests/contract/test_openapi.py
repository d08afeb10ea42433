"""`/openapi.json` and `/docs`: every route with a sentence, an example of what to send and one of what comes back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from tests.contract.wire import Json, finished, ok

pytestmark = pytest.mark.requires("openapi")

# POST before GET, GET before DELETE: what an example reads was made by another.
ORDER = ("put", "post", "get", "delete")
# Its answer depends on how far the job is.
NOT_SENT = {("delete", "/v1/jobs/{job_id}")}
# The example shows some of them.
OPEN_ENDED = ("settings",)


def operations(http: httpx.Client) -> Iterator[tuple[str, str, Json]]:
    """Yield method, path and description of every operation, in the order in which they can be sent."""
    paths = ok(http.get("/openapi.json"))["paths"]
    listed = [(method, path, found) for path, methods in paths.items() for method, found in methods.items()]
    yield from sorted(listed, key=lambda one: (ORDER.index(one[0]), one[1] != "/v1/ingest"))


def examples(described: Json) -> list[Any]:
    """Return the examples of a body or an answer, of whatever media type."""
    media: Json = next(iter(described.get("content", {}).values()), {})
    named = [example["value"] for example in media.get("examples", {}).values()]
    return [media["example"]] if "example" in media else named


def answer(operation: Json) -> Json:
    """Return the description of the first good answer."""
    found: Json = next(response for status, response in operation["responses"].items() if status.startswith("2"))
    return found


def test_every_route_says_what_it_does(http: httpx.Client) -> None:
    """A summary that is the description's first sentence, not a function's name, and one tag that is described."""
    tags = {tag["name"] for tag in ok(http.get("/openapi.json"))["tags"] if tag["description"]}

    for method, path, operation in operations(http):
        said = " ".join(operation["description"].replace("`", "").split())
        assert len(operation["summary"].split()) > 2, f"{method} {path}: {operation['summary']}"
        assert said.startswith(operation["summary"]), f"{method} {path}: {operation['summary']}"
        assert len(operation["tags"]) == 1, f"{method} {path}: {operation['tags']}"
        assert set(operation["tags"]) <= tags, f"{method} {path}: {operation['tags']}"


def test_every_route_has_examples(http: httpx.Client) -> None:
    """Of the body where there is one, of each name in the path, of the answer, and of an error."""
    missing = []
    for method, path, operation in operations(http):
        parts = {"answer": answer(operation), "error": operation["responses"]["4XX"]}
        if "requestBody" in operation:
            parts["body"] = operation["requestBody"]
        missing += [f"{method} {path}: {name}" for name, part in parts.items() if not examples(part)]
        named = [each for each in operation.get("parameters", []) if each["in"] == "path"]
        missing += [f"{method} {path}: {each['name']}" for each in named if "example" not in each]

    assert not missing, f"no example of {missing}"


@pytest.mark.requires("embeddings", "sparse", "rerank", "search", "collections", "dialects")
def test_every_example_is_true(http: httpx.Client, collection: str, model: Json) -> None:
    """Each example is sent, in a collection of the test's own; the answer has the fields of the example's answer."""
    names = {"model": model["id"], "document_id": "danube", "name": collection}
    wrong = []
    for method, path, operation in operations(http):
        if (method, path) in NOT_SENT:
            continue
        bodies = examples(operation["requestBody"]) if "requestBody" in operation else [None]
        for body, expected in zip(bodies, examples(answer(operation)), strict=True):
            response = send(http, method, path.format_map(names), body, collection)
            if path == "/v1/ingest":
                names["job_id"] = finished(http, response.json()["job_id"])["job_id"]
            if not response.is_success:
                wrong.append(f"{method} {path}: {response.status_code} {response.text[:200]}")
            elif isinstance(expected, dict | list):
                wrong += [f"{method} {path}: {each}" for each in differences(expected, response.json())]

    assert not wrong, "\n".join(wrong)


def send(http: httpx.Client, method: str, path: str, body: Json | None, collection: str) -> httpx.Response:
    """Send an example; what it stores and finds goes to `collection`."""
    stored = path in {"/v1/ingest", "/v1/search"}
    params = {"collection": collection} if path.startswith("/v1/documents/") else {}
    content = body if not stored or body is None else body | {"collection": collection}
    return http.request(method.upper(), path, json=content, params=params)


def differences(expected: Any, found: Any, at: str = "answer") -> Iterator[str]:
    """Yield where two values differ in their fields or in their kind; null stands for any kind."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        more = set() if at.endswith(OPEN_ENDED) else found.keys() - expected.keys()
        for name in sorted((expected.keys() - found.keys()) | more):
            yield f"{at}.{name} is in {'the example' if name in expected else 'the answer'} alone"
        for name in expected.keys() & found.keys():
            yield from differences(expected[name], found[name], f"{at}.{name}")
    elif isinstance(expected, list) and isinstance(found, list):
        if expected and found:
            yield from differences(expected[0], found[0], f"{at}.0")
    elif expected is not None and found is not None and kind(expected) != kind(found):
        yield f"{at} is {kind(found)}, in the example {kind(expected)}"


def kind(value: Any) -> str:
    """Return the kind of a JSON value; whole numbers are numbers."""
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__


def test_docs_load_nothing_from_elsewhere(http: httpx.Client) -> None:
    """`/docs` works without the internet: its script, its style and the description come from this server."""
    page = http.get("/docs")
    assert page.status_code == 200
    assert "http://" not in page.text
    assert "https://" not in page.text

    for name, kind_of_file in {"swagger-ui-bundle.js": "javascript", "swagger-ui.css": "css"}.items():
        assert f'"docs/{name}"' in page.text
        asset = http.get(f"/docs/{name}")
        assert asset.status_code == 200
        assert kind_of_file in asset.headers["content-type"]
        assert len(asset.content) > 50_000
    assert http.get("/docs/no-such-file").status_code == 404
