"""`POST /v1/ingest`: accept documents as durable jobs; with the routes of jobs, documents and collections."""

from __future__ import annotations

import asyncio
import hashlib
import time

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import Field

from gateways.core.api import collections, document_list, documents, jobs
from gateways.core.api.collection_fields import Chunk, Collection
from gateways.core.api.embeddings import Text, check_length
from gateways.core.errors import InvalidRequest, TooLarge
from gateways.core.gateway import Gateway
from gateways.core.http.json_route import JsonRoute, json_response, timeout_s
from gateways.core.http.json_values import ShallowObject
from gateways.core.http.schemas import Items, Strict
from gateways.core.jobs.base import Document, Job
from gateways.core.process_settings import GatewaySettings
from gateways.core.profiles import check_chunking

MAX_KEY_CHARACTERS = 255
# Between two looks at a job that a client waits for.
POLL_S = 0.1
# The rest of the time is for reading the body, and for writing the job.
DEADLINE_SHARE = 0.8


class IngestDocument(Strict):
    """A text with its metadata."""

    id: str | None = Field(
        None,
        min_length=1,
        max_length=512,
        description="A document of this id is replaced. Default: hash of the text.",
    )
    text: Text = Field(description="Text to embed and search.")
    metadata: ShallowObject = Field(default_factory=dict, description="Returned with results, and tested by filters.")


class IngestRequest(Strict):
    """Documents to make searchable."""

    documents: Items[IngestDocument] = Field(
        json_schema_extra={"minItems": 1},
        examples=[[{"id": "handbook-7", "text": "You get 20 vacation days a year.", "metadata": {"year": 2026}}]],
    )
    collection: Collection = Field("default", description="Created if missing.")
    chunk: Chunk | None = Field(None, description="How to cut the documents. Default: the profile of the collection.")
    wait_s: float = Field(
        0,
        ge=0,
        le=60,
        description="Maximum seconds to wait for the end of the job before the answer, whose `status` tells of it.",
    )


def router(gateway: Gateway) -> APIRouter:
    """Return the routes of ingest, jobs, documents and collections."""
    routes = APIRouter(route_class=JsonRoute)

    @routes.post("/v1/ingest", status_code=202, response_model=jobs.JobAnswer, tags=["documents"])
    async def ingest(request: Request, body: IngestRequest) -> Response:
        """Accept documents as an ingest job. After a 202 they are on disk, and no crash of the gateway loses them."""
        accepted = _read_documents(body, gateway.settings)
        chunk = body.chunk.chunking() if body.chunk else None
        if chunk:
            check_chunking(chunk, gateway.model((await gateway.profile(body.collection)).embedding_model))
        job = await gateway.ingest.submit(body.collection, accepted, _idempotency_key(request), chunk)
        if body.wait_s:
            job = await _wait(gateway, job, min(body.wait_s, _longest_wait_s(request, gateway.settings)))
        return json_response(jobs.job_body(job), 202, {"Location": f"/v1/jobs/{job.id}"})

    for resource in (jobs, document_list, documents, collections):
        routes.include_router(resource.router(gateway))
    return routes


async def _wait(gateway: Gateway, job: Job, wait_s: float) -> Job:
    """Return the job as it is once it has ended, or after `wait_s` seconds."""
    deadline_s = time.monotonic() + wait_s
    while job.status in ("pending", "running") and time.monotonic() < deadline_s:
        await asyncio.sleep(min(POLL_S, max(deadline_s - time.monotonic(), 0)))
        job = await gateway.ingest.job(job.id) or job
    return job


def _longest_wait_s(request: Request, settings: GatewaySettings) -> float:
    """Return the seconds of a wait that ends before the request's own deadline: its documents are accepted."""
    return timeout_s(request, settings.request_timeout_s) * DEADLINE_SHARE


def _read_documents(body: IngestRequest, settings: GatewaySettings) -> list[Document]:
    if not body.documents:
        raise InvalidRequest("documents is empty; send at least one.", param="documents", code="empty_input")
    if len(body.documents) > settings.max_documents:
        raise TooLarge(
            f"documents has {len(body.documents)} entries and {settings.max_documents} may come at once; "
            "send several requests.",
            param="documents",
            code="too_many_documents",
        )
    documents = [_read_document(sent, f"documents.{i}", settings) for i, sent in enumerate(body.documents)]
    _check_unique(body, documents)
    return list({document.id: document for document in documents}.values())


def _read_document(sent: IngestDocument, path: str, settings: GatewaySettings) -> Document:
    if not sent.text.strip():
        raise InvalidRequest(
            f"{path}.text is empty; there is nothing to find.", param=f"{path}.text", code="empty_input"
        )
    check_length(sent.text, settings.max_document_chars, "MAX_DOCUMENT_CHARS", f"{path}.text")
    if len(orjson.dumps(sent.metadata)) > settings.max_metadata_bytes:
        raise TooLarge(
            f"{path}.metadata is over {settings.max_metadata_bytes} bytes as JSON.",
            param=f"{path}.metadata",
            code="metadata_too_large",
        )
    content_id = hashlib.sha256(sent.text.encode()).hexdigest()[:32]
    return Document(sent.id or content_id, sent.text, sent.metadata)


def _check_unique(body: IngestRequest, documents: list[Document]) -> None:
    """Raise InvalidRequest for an id that comes twice. Equal texts without ids are one document."""
    seen: set[str] = set()
    for position, (sent, document) in enumerate(zip(body.documents, documents, strict=True)):
        if sent.id is not None and document.id in seen:
            path = f"documents.{position}.id"
            raise InvalidRequest(f"{path} {sent.id!r} came before in this request.", param=path, code="duplicate_id")
        seen.add(document.id)


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= MAX_KEY_CHARACTERS:
        raise InvalidRequest(
            f"Idempotency-Key must have 1 to {MAX_KEY_CHARACTERS} characters.", param="Idempotency-Key"
        )
    return key
