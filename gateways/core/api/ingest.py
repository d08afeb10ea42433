"""`POST /v1/ingest`: documents to durable jobs; and the routes of what comes of it."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import Field

from gateways.core.api import collections, documents, jobs
from gateways.core.api.body import JsonRoute, Strict, json_response
from gateways.core.api.collection import Chunk, Collection
from gateways.core.api.embeddings import Text
from gateways.core.errors import InvalidRequest, TooLarge
from gateways.core.gateway import Gateway
from gateways.core.jobs.base import Document
from gateways.core.settings import Settings

MAX_KEY_CHARACTERS = 255
MAX_METADATA_DEPTH = 32


class IngestDocument(Strict):
    """A text with its metadata."""

    id: str | None = Field(None, min_length=1, max_length=512, description="Default: hash of the text. Replaces.")
    text: Text = Field(description="What is embedded and found.")
    metadata: dict[str, Any] = Field(default_factory=dict, description="Returned with results; filters test it.")


class IngestRequest(Strict):
    """Documents to make findable."""

    documents: list[IngestDocument] = Field(
        json_schema_extra={"minItems": 1},
        examples=[[{"id": "handbook-7", "text": "You get 20 vacation days a year.", "metadata": {"year": 2026}}]],
    )
    collection: Collection = Field("default", description="Made when it is not there.")
    chunk: Chunk | None = Field(None, description="How to cut them; default: as the collection's profile says.")


def router(gateway: Gateway) -> APIRouter:
    """Return the routes over `gateway`: of ingest, its jobs, the documents and the collections they are in."""
    routes = APIRouter(route_class=JsonRoute)

    @routes.post("/v1/ingest", status_code=202, response_model=jobs.JobAnswer, tags=["documents"])
    async def ingest(request: Request, body: IngestRequest) -> Response:
        """Accept documents to be found. 202 means they are on disk: found they will be, whatever happens here."""
        sent = _documents(body, gateway.settings)
        chunk = body.chunk.chunking() if body.chunk else None
        job = await gateway.submit(body.collection, sent, _key(request), chunk)
        return json_response(jobs.described(job), 202, {"Location": f"/v1/jobs/{job.id}"})

    for resource in (jobs, documents, collections):
        routes.include_router(resource.router(gateway))
    return routes


def _documents(body: IngestRequest, settings: Settings) -> list[Document]:
    if not body.documents:
        raise InvalidRequest("documents is empty; send at least one.", param="documents", code="empty_input")
    if len(body.documents) > settings.max_documents:
        raise TooLarge(
            f"documents has {len(body.documents)} entries and {settings.max_documents} may come at once; "
            "send several requests.",
            param="documents",
            code="too_many_documents",
        )
    documents = [_document(sent, f"documents.{i}", settings) for i, sent in enumerate(body.documents)]
    _check_unique(body, documents)
    return list({document.id: document for document in documents}.values())


def _document(sent: IngestDocument, at: str, settings: Settings) -> Document:
    if not sent.text.strip():
        raise InvalidRequest(f"{at}.text is empty; there is nothing to find.", param=f"{at}.text", code="empty_input")
    if _deeper(sent.metadata, MAX_METADATA_DEPTH):
        raise InvalidRequest(
            f"{at}.metadata is nested more than {MAX_METADATA_DEPTH} deep.", param=f"{at}.metadata", code="too_deep"
        )
    if len(orjson.dumps(sent.metadata)) > settings.max_metadata_bytes:
        raise TooLarge(
            f"{at}.metadata is over {settings.max_metadata_bytes} bytes as JSON.",
            param=f"{at}.metadata",
            code="metadata_too_large",
        )
    content_id = hashlib.sha256(sent.text.encode()).hexdigest()[:32]
    return Document(sent.id or content_id, sent.text, sent.metadata)


def _deeper(value: Any, depth: int) -> bool:
    """Say whether lists and objects are nested more than `depth` deep."""
    if not isinstance(value, dict | list):
        return False
    return depth == 0 or any(
        _deeper(item, depth - 1) for item in (value.values() if isinstance(value, dict) else value)
    )


def _check_unique(body: IngestRequest, documents: list[Document]) -> None:
    """Refuse two documents that a client gave one id; equal texts without ids are one document, silently."""
    seen: set[str] = set()
    for position, (sent, document) in enumerate(zip(body.documents, documents, strict=True)):
        if sent.id is not None and document.id in seen:
            at = f"documents.{position}.id"
            raise InvalidRequest(f"{at} {sent.id!r} came before in this request.", param=at, code="duplicate_id")
        seen.add(document.id)


def _key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= MAX_KEY_CHARACTERS:
        raise InvalidRequest(
            f"Idempotency-Key must have 1 to {MAX_KEY_CHARACTERS} characters.", param="Idempotency-Key"
        )
    return key
