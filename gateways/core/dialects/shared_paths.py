"""`POST /embed` and `POST /rerank`, called by clients of several dialects. A field of the body decides which."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict
from starlette.types import Message, Receive

from gateways.core.api.rerank import RerankRequest
from gateways.core.dialects import jina, tei, texts
from gateways.core.dialects.detail_errors import DetailAnswer, DetailRoute, detailed
from gateways.core.dialects.tei_schemas import InputsEmbedRequest, TeiAnswer, TeiRoute, TextsRerankRequest
from gateways.core.errors import GatewayError, InvalidRequest
from gateways.core.gateway import Gateway
from gateways.core.http.body import read
from gateways.core.http.json_route import JsonRoute, parse
from gateways.core.http.request_headers import without_header
from gateways.core.http.request_state import process_state
from gateways.core.http.schemas import Lenient


class AnyObject(Lenient):
    """A JSON object with any fields."""

    model_config = ConfigDict(extra="allow")


class SharedRoute(DetailRoute):
    """A route whose endpoint reads the raw request and answers errors itself."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's own handler. The fast path calls the endpoint directly."""
        self.answer = self.endpoint
        return super().get_route_handler()


class SharedPath:
    """The routes of one path. The first route whose field is in the body answers, in its own dialect."""

    def __init__(self, **routes: JsonRoute) -> None:
        self._handlers = {field: route.get_route_handler() for field, route in routes.items()}

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        try:
            process = process_state(request.app)
            # The handler below counts the body again, before any other request may.
            with process.bodies.lease() as lease:
                raw = await read(request, process.settings.max_body_bytes, lease)
            fields = parse(AnyObject, raw).model_extra or {}
            handle = next((self._handlers[field] for field in self._handlers if field in fields), None)
            if handle is None:
                raise self._missing_field(fields)
        except GatewayError as error:
            return detailed(error)
        return await handle(Request(without_header(request.scope, b"content-encoding"), _replay_body(raw)))

    def _missing_field(self, fields: dict[str, Any]) -> InvalidRequest:
        sent = ", ".join(name[:40] for name in list(fields)[:5]) or "nothing"
        wanted = " or ".join(self._handlers)
        return InvalidRequest(f"this path takes a body with {wanted}; yours has {sent}.", code="missing_field")


def router(gateway: Gateway) -> APIRouter:
    """Return the routes over `gateway`."""
    routes = APIRouter(
        route_class=SharedRoute,
        tags=["dialects"],
        responses={"4XX": {"model": DetailAnswer | TeiAnswer, "description": "What was wrong"}},
    )
    embedding = SharedPath(
        texts=DetailRoute("/embed", texts.embed_texts(gateway), methods=["POST"]),
        inputs=TeiRoute("/embed", tei.embed_inputs(gateway), methods=["POST"]),
    )
    reranking = SharedPath(
        documents=DetailRoute("/rerank", jina.rerank_documents(gateway), methods=["POST"]),
        texts=TeiRoute("/rerank", tei.rerank_texts(gateway), methods=["POST"]),
    )

    @routes.post("/embed", openapi_extra=_describe_bodies(texts.TextsRequest, InputsEmbedRequest))
    async def embed(request: Request) -> Response:
        """Embed `texts` as the RAG NLP engine and embed-only services do, or `inputs` as TEI does."""
        return await embedding(request)

    @routes.post("/rerank", openapi_extra=_describe_bodies(RerankRequest, TextsRerankRequest))
    async def rerank(request: Request) -> Response:
        """Rerank `documents` as Jina and the RAG NLP engine do, or `texts` as TEI does."""
        return await reranking(request)

    return routes


def _replay_body(raw: bytes) -> Receive:
    """Return an ASGI receive callable that delivers a body which was read before."""

    async def receive() -> Message:
        return {"type": "http.request", "body": raw, "more_body": False}

    return receive


def _describe_bodies(*models: type[BaseModel]) -> dict[str, Any]:
    """Return the OpenAPI request body of the models, which FastAPI cannot derive from a raw request."""
    schema = {"anyOf": [model.model_json_schema() for model in models]}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
