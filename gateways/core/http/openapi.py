"""`/openapi.json` and `/docs`: FastAPI's description of the routes with examples, and no scripts from elsewhere."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Any

import orjson
from fastapi import APIRouter, FastAPI, Response
from fastapi.openapi.docs import get_swagger_ui_html

from gateways.core.errors import NotFound

Json = dict[str, Any]

# Requests to a real gateway and its answers, with the first three numbers of each vector.
EXAMPLES = Path(__file__).parent / "examples.json"
# Swagger UI from a package, so that the page works offline.
ASSETS = resources.files("fastapi_offline") / "static"
MEDIA_TYPES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
OPTIONS = {"displayRequestDuration": True, "tryItOutEnabled": True, "defaultModelsExpandDepth": 0}

DESCRIPTION = """
Embeddings, sparse vectors, rerank, ingest and search behind one contract. Examples show the first three numbers of
each vector. Every error has the shape that the clients of its route know.
"""
TAGS = [
    {"name": "embeddings", "description": "Texts to vectors. `POST /v1/embeddings` is OpenAI's."},
    {"name": "rerank", "description": "Documents in the order in which they answer a query."},
    {"name": "models", "description": "What can be asked for, by id or alias."},
    {"name": "search", "description": "A query to passages, with scores and citations."},
    {"name": "documents", "description": "What search can find: ingest, its jobs, and documents one by one."},
    {"name": "collections", "description": "Contexts with a retrieval strategy of their own."},
    {"name": "dialects", "description": "Paths that clients of several services share; the body tells them apart."},
    {"name": "TEI", "description": "Text Embeddings Inference, Hugging Face's server."},
    {"name": "Cohere", "description": "Cohere's embed and rerank."},
    {"name": "Unified Embedding API", "description": "`/api/v1`: OpenAI's embeddings, bare lists, sparse, rerank."},
    {"name": "operations", "description": "Health, metrics, and what runs here."},
]


def document(app: FastAPI) -> None:
    """Add `/docs` to an application without FastAPI's own pages, and examples to its `/openapi.json`."""
    generate = app.openapi

    def openapi() -> Json:
        return app.openapi_schema or _add_examples(generate())

    app.description, app.openapi_tags = DESCRIPTION, TAGS
    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to extend it
    app.include_router(_pages(app.title))


def _add_examples(document: Json) -> Json:
    """Add the examples and the summaries to FastAPI's description in place, and return it."""
    examples = orjson.loads(EXAMPLES.read_bytes())
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _summarise(operation)
            _exemplify(operation, examples["routes"].get(f"{method.upper()} {path}", []))
            _exemplify_errors(operation, examples["errors"])
    return document


def _summarise(operation: Json) -> None:
    """Use the first sentence of the docstring as the summary, where FastAPI uses the function's name."""
    sentence = re.split(r"(?<=\.)\s", operation.get("description", "").strip(), maxsplit=1)[0]
    if sentence:
        # A summary is plain text, a description is Markdown.
        operation["summary"] = " ".join(sentence.removesuffix(".").replace("`", "").split())


def _exemplify(operation: Json, examples: list[Json]) -> None:
    for parameter in operation.get("parameters", []):
        values = [example["path"][parameter["name"]] for example in examples if parameter["name"] in _path(example)]
        parameter |= {"example": values[0]} if values else {}
    if "requestBody" in operation:
        _put(operation["requestBody"], _examples_of(examples, "body"))
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            _put(response, _examples_of(examples, "answer"))


def _exemplify_errors(operation: Json, errors: Json) -> None:
    for status, response in operation["responses"].items():
        for media in response.get("content", {}).values() if status.startswith("4") else ():
            schemas = media["schema"].get("anyOf", [media["schema"]])
            names = [schema.get("$ref", "").rpartition("/")[2] for schema in schemas]
            media |= _media_examples({name: errors[name] for name in names if name in errors})


def _path(example: Json) -> Json:
    path: Json = example.get("path", {})
    return path


def _examples_of(examples: list[Json], part: str) -> Json:
    return {example.get("name", ""): example[part] for example in examples if part in example}


def _put(message: Json, values: Json) -> None:
    """Add examples to each media type of a body or an answer."""
    for media in message.get("content", {}).values():
        media |= _media_examples(values)


def _media_examples(values: Json) -> Json:
    """Return the examples as a media type object has them: `example` for a single one, else `examples` by name."""
    if len(values) == 1:
        return {"example": next(iter(values.values()))}
    return {"examples": {name: {"value": value} for name, value in values.items()}} if values else {}


def _pages(title: str) -> APIRouter:
    """Return the routes of `/docs` and its two files. Relative paths work behind a proxy with any prefix."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/docs")
    async def page() -> Response:
        return get_swagger_ui_html(
            openapi_url="openapi.json",
            title=title,
            swagger_js_url="docs/swagger-ui-bundle.js",
            swagger_css_url="docs/swagger-ui.css",
            swagger_favicon_url="data:,",
            swagger_ui_parameters=OPTIONS,
        )

    @routes.get("/docs/{name}")
    async def asset(name: str) -> Response:
        if name not in MEDIA_TYPES:
            raise NotFound(f"there is no page /docs/{name}; /docs is the page.", code="unknown_route")
        content = (ASSETS / name).read_bytes()
        return Response(content, media_type=MEDIA_TYPES[name], headers={"Cache-Control": "max-age=86400"})

    return routes
