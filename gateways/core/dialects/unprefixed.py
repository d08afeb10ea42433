"""`POST /embed` and `POST /rerank`: paths that clients of several dialects call; a field of the body tells whose."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict
from starlette.types import Message, Receive

from gateways.core.api.body import JsonRoute, Lenient, parse, read
from gateways.core.api.rerank import RerankRequest
from gateways.core.dialects import jina, ragnlp, tei
from gateways.core.dialects.detail import DetailAnswer, DetailRoute, detailed
from gateways.core.dialects.tei_shapes import InputsEmbedRequest, TeiAnswer, TeiRoute, TextsRerankRequest
from gateways.core.errors import GatewayError, InvalidRequest
from gateways.core.gateway import Gateway


class AnyObject(Lenient):
    """Whatever fields were sent."""

    model_config = ConfigDict(extra="allow")


class SharedRoute(DetailRoute):
    """A route whose endpoint takes the request as it came, and answers errors itself."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's own handler; the shortcut around it is the endpoint."""
        self.answer = self.endpoint
        return super().get_route_handler()


class Shared:
    """Routes of one path: the first whose field the body has answers, in its own dialect, errors included."""

    def __init__(self, **routes: JsonRoute) -> None:
        self._handlers = {field: route.get_route_handler() for field, route in routes.items()}

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        try:
            raw = await read(request, request.app.state.settings.max_body_bytes)
            fields = parse(AnyObject, raw).model_extra or {}
            handle = next((self._handlers[field] for field in self._handlers if field in fields), None)
            if handle is None:
                raise self._none_of(fields)
        except GatewayError as error:
            return detailed(error)
        return await handle(Request(request.scope, _again(raw)))

    def _none_of(self, fields: dict[str, Any]) -> InvalidRequest:
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
    embedding = Shared(
        texts=DetailRoute("/embed", ragnlp.embed_texts(gateway), methods=["POST"]),
        inputs=TeiRoute("/embed", tei.embed_inputs(gateway), methods=["POST"]),
    )
    reranking = Shared(
        documents=DetailRoute("/rerank", jina.rerank_documents(gateway), methods=["POST"]),
        texts=TeiRoute("/rerank", tei.rerank_texts(gateway), methods=["POST"]),
    )

    @routes.post("/embed", openapi_extra=_bodies(ragnlp.TextsRequest, InputsEmbedRequest))
    async def embed(request: Request) -> Response:
        """Embed `texts` as the RAG NLP engine and embed-only services do, or `inputs` as TEI does."""
        return await embedding(request)

    @routes.post("/rerank", openapi_extra=_bodies(RerankRequest, TextsRerankRequest))
    async def rerank(request: Request) -> Response:
        """Rerank `documents` as Jina and the RAG NLP engine do, or `texts` as TEI does."""
        return await reranking(request)

    return routes


def _again(raw: bytes) -> Receive:
    """Return what hands over a body that was read already."""

    async def receive() -> Message:
        return {"type": "http.request", "body": raw, "more_body": False}

    return receive


def _bodies(*models: type[BaseModel]) -> dict[str, Any]:
    """Describe a body that is one of these; the endpoint reads it by itself, so FastAPI does not see it."""
    schema = {"anyOf": [model.model_json_schema() for model in models]}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
