"""`/openapi.json` and `/docs` describe every route, with examples of requests and answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from tests.contract.client import Json, ok, wait_for_job

pytestmark = pytest.mark.requires("openapi")

# POST comes before GET, and GET before DELETE, because an example reads what another example has created.
ORDER = ("put", "post", "get", "delete")
# The answers of these routes depend on the progress of a job, and on its failure.
NOT_SENT = {("delete", "/v1/jobs/{job_id}"), ("post", "/v1/jobs/{job_id}/retry"), ("post", "/v1/snapshot")}
# The example shows only a part of these fields.
OPEN_ENDED = ("settings",)
# The first document of the list may be another one than that of the example.
ANY_FIELDS = "data.0.metadata"


def list_operations(http: httpx.Client) -> Iterator[tuple[str, str, Json]]:
    """Yield method, path and description of every operation, in an order in which they can be sent."""
    paths = ok(http.get("/openapi.json"))["paths"]
    operations = [
        (method, path, operation) for path, methods in paths.items() for method, operation in methods.items()
    ]
    yield from sorted(operations, key=lambda entry: (ORDER.index(entry[0]), entry[1] != "/v1/ingest"))


def list_examples(part: Json) -> list[Any]:
    """Return the examples of a body or an answer, for its first media type."""
    media: Json = next(iter(part.get("content", {}).values()), {})
    values = [example["value"] for example in media.get("examples", {}).values()]
    return [media["example"]] if "example" in media else values


def get_answer(operation: Json) -> Json:
    """Return the description of the first answer with status 2xx."""
    response_description: Json = next(
        response for status, response in operation["responses"].items() if status.startswith("2")
    )
    return response_description


def test_every_route_says_what_it_does(http: httpx.Client) -> None:
    """The summary of a route is the first sentence of its description. Its one tag has a description."""
    tags = {tag["name"] for tag in ok(http.get("/openapi.json"))["tags"] if tag["description"]}

    for method, path, operation in list_operations(http):
        text = " ".join(operation["description"].replace("`", "").split())
        assert len(operation["summary"].split()) > 2, f"{method} {path}: {operation['summary']}"
        assert text.startswith(operation["summary"]), f"{method} {path}: {operation['summary']}"
        assert len(operation["tags"]) == 1, f"{method} {path}: {operation['tags']}"
        assert set(operation["tags"]) <= tags, f"{method} {path}: {operation['tags']}"


def test_every_route_has_examples(http: httpx.Client) -> None:
    """Every route has examples of its body, its path parameters, its answer and an error."""
    missing = []
    for method, path, operation in list_operations(http):
        parts = {"answer": get_answer(operation), "error": operation["responses"]["4XX"]}
        if "requestBody" in operation:
            parts["body"] = operation["requestBody"]
        missing += [f"{method} {path}: {name}" for name, part in parts.items() if not list_examples(part)]
        parameters = [parameter for parameter in operation.get("parameters", []) if parameter["in"] == "path"]
        missing += [f"{method} {path}: {parameter['name']}" for parameter in parameters if "example" not in parameter]

    assert not missing, f"no example of {missing}"


@pytest.mark.requires("embeddings", "sparse", "rerank", "search", "collections", "dialects")
def test_every_example_is_true(http: httpx.Client, collection: str, model: Json) -> None:
    """The answer to each example request has the fields of the example answer."""
    names = {"model": model["id"], "document_id": "danube", "name": collection}
    wrong = []
    for method, path, operation in list_operations(http):
        if (method, path) in NOT_SENT:
            continue
        bodies = list_examples(operation["requestBody"]) if "requestBody" in operation else [None]
        for body, expected in zip(bodies, list_examples(get_answer(operation)), strict=True):
            response = send(http, method, path.format_map(names), body, collection)
            if path == "/v1/ingest":
                names["job_id"] = wait_for_job(http, response.json()["job_id"])["job_id"]
            if not response.is_success:
                wrong.append(f"{method} {path}: {response.status_code} {response.text[:200]}")
            elif isinstance(expected, dict | list):
                wrong += [
                    f"{method} {path}: {difference}" for difference in find_differences(expected, response.json())
                ]

    assert not wrong, "\n".join(wrong)


def send(http: httpx.Client, method: str, path: str, body: Json | None, collection: str) -> httpx.Response:
    """Send an example. Documents are stored and searched in `collection`."""
    has_collection = path in {"/v1/ingest", "/v1/search"}
    params = {"collection": collection} if path.startswith("/v1/documents/") else {}
    content = body if not has_collection or body is None else body | {"collection": collection}
    return http.request(method.upper(), path, json=content, params=params)


def find_differences(expected: Any, value: Any, path: str = "answer") -> Iterator[str]:
    """Yield a sentence per difference in fields or kinds of two values. null stands for any kind."""
    if path.endswith(ANY_FIELDS):
        return
    if isinstance(expected, Mapping) and isinstance(value, Mapping):
        additional = set() if path.endswith(OPEN_ENDED) else value.keys() - expected.keys()
        for name in sorted((expected.keys() - value.keys()) | additional):
            yield f"{path}.{name} is in {'the example' if name in expected else 'the answer'} alone"
        for name in expected.keys() & value.keys():
            yield from find_differences(expected[name], value[name], f"{path}.{name}")
    elif isinstance(expected, list) and isinstance(value, list):
        if expected and value:
            yield from find_differences(expected[0], value[0], f"{path}.0")
    elif expected is not None and value is not None and get_kind(expected) != get_kind(value):
        yield f"{path} is {get_kind(value)}, in the example {get_kind(expected)}"


def get_kind(value: Any) -> str:
    """Return the kind of a JSON value. Integers and floats are numbers."""
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__


def test_docs_load_nothing_from_elsewhere(http: httpx.Client) -> None:
    """`/docs` works without the internet, because its script and its style come from this server."""
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
