"""`POST /v1/ingest`, `/v1/jobs` and `/v1/documents`: what search can find."""

from __future__ import annotations

import dataclasses
import hashlib
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from gateways.core.api.body import JsonRoute, Strict, json_response
from gateways.core.api.collection import COLLECTION, Collection
from gateways.core.errors import InvalidRequest, NotFound, TooLarge
from gateways.core.gateway import Gateway
from gateways.core.jobs.base import Document, Job
from gateways.core.settings import Settings

MAX_KEY_CHARACTERS = 255
MAX_METADATA_DEPTH = 32


class IngestDocument(Strict):
    """A text with its metadata."""

    id: str | None = Field(None, min_length=1, max_length=512, description="Default: hash of the text. Replaces.")
    text: str = Field(description="What is embedded and found.")
    metadata: dict[str, Any] = Field(default_factory=dict, description="Returned with results; filters test it.")


class IngestRequest(Strict):
    """Documents to make findable."""

    documents: list[IngestDocument]
    collection: Collection = Field("default", description="Made when it is not there.")


class JobAnswer(Strict):
    """A job; times are ISO 8601 in UTC."""

    job_id: str
    status: str
    collection: str
    total_documents: int
    processed_documents: int
    error: str | None
    errors: list[dict[str, Any]]
    created_at: str
    started_at: str | None
    finished_at: str | None


def router(gateway: Gateway) -> APIRouter:
    """Return the routes over `gateway`."""
    routes = APIRouter(route_class=JsonRoute, tags=["documents"])

    @routes.post("/v1/ingest", status_code=202, response_model=JobAnswer)
    async def ingest(request: Request, body: IngestRequest) -> Response:
        """Accept documents. 202 means they are on disk: they will be found, whatever happens to this process."""
        documents = _documents(body, gateway.settings)
        job = await gateway.submit(body.collection, documents, _key(request))
        return json_response(_job(job), 202, {"Location": f"/v1/jobs/{job.id}"})

    @routes.get("/v1/jobs")
    async def jobs(limit: Annotated[int, Query(ge=1, le=1_000)] = 100) -> Response:
        """List the newest jobs first."""
        return json_response({"object": "list", "data": [_job(job) for job in await gateway.jobs.recent(limit)]})

    @routes.get("/v1/jobs/{job_id}", response_model=JobAnswer)
    async def one_job(job_id: str) -> Response:
        """Tell how far a job is."""
        job = await gateway.jobs.status(job_id)
        if job is None:
            raise NotFound(f"there is no job {job_id!r}.", param="job_id", code="unknown_job")
        return json_response(_job(job))

    @routes.get("/v1/documents/{document_id:path}")
    async def document(document_id: str, collection: COLLECTION = "default") -> Response:
        """Return a document as it was ingested."""
        passages = await gateway.store.document(collection, document_id)
        if not passages:
            raise _no_document(document_id, collection)
        first = passages[0]
        return json_response(
            {"id": document_id, "collection": collection, "text": first.text, "metadata": first.metadata}
        )

    @routes.delete("/v1/documents/{document_id:path}")
    async def delete_document(document_id: str, collection: COLLECTION = "default") -> Response:
        """Forget a document; search stops finding it at once."""
        if not await gateway.delete(collection, document_id):
            raise _no_document(document_id, collection)
        return json_response({"id": document_id, "object": "document", "deleted": True})

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


def _job(job: Job) -> dict[str, Any]:
    return {
        "job_id": job.id,
        "status": job.status,
        "collection": job.collection,
        "total_documents": job.total_documents,
        "processed_documents": job.processed_documents,
        "error": job.error,
        "errors": [dataclasses.asdict(error) for error in job.errors],
        "created_at": _time(job.created_at),
        "started_at": _time(job.started_at),
        "finished_at": _time(job.finished_at),
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def _no_document(document_id: str, collection: str) -> NotFound:
    return NotFound(
        f"there is no document {document_id!r} in collection {collection!r}.",
        param="document_id",
        code="unknown_document",
    )
