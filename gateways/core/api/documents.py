"""`/v1/documents/{id}`: read or delete a document."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from gateways.core.api.collection_fields import COLLECTION
from gateways.core.errors import NotFound
from gateways.core.gateway import Gateway
from gateways.core.http.json_route import JsonRoute, json_response
from gateways.core.http.schemas import Strict
from gateways.core.ingest.passages import whole_text


class PassageAnswer(Strict):
    """One passage: characters `start` to `end` of the document."""

    id: str
    start: int
    end: int


class DocumentAnswer(Strict):
    """A document as it was ingested, with its passages."""

    id: str
    collection: str
    text: str
    metadata: dict[str, Any]
    passages: list[PassageAnswer]


def router(gateway: Gateway) -> APIRouter:
    """Return the routes over `gateway`."""
    routes = APIRouter(route_class=JsonRoute, tags=["documents"])

    @routes.get("/v1/documents/{document_id:path}", response_model=DocumentAnswer)
    async def document(document_id: str, collection: COLLECTION = "default") -> Response:
        """Return a document as it was ingested."""
        passages = await (await gateway.collection(collection)).document(document_id)
        if not passages:
            raise _unknown_document(document_id, collection)
        return json_response(
            {
                "id": document_id,
                "collection": collection,
                "text": whole_text(passages),
                "metadata": passages[0].metadata,
                "passages": [{"id": part.id, "start": part.start, "end": part.end} for part in passages],
            }
        )

    @routes.delete("/v1/documents/{document_id:path}")
    async def delete_document(document_id: str, collection: COLLECTION = "default") -> Response:
        """
        Delete a document. Searches stop finding it at once.

        `queued` tells that an unfinished ingest job has the document. The job leaves it out.
        """
        deletion = await gateway.ingest.delete_document(collection, document_id)
        if not deletion.stored and not deletion.queued:
            raise _unknown_document(document_id, collection)
        return json_response({"id": document_id, "object": "document", "deleted": True, "queued": deletion.queued})

    return routes


def _unknown_document(document_id: str, collection: str) -> NotFound:
    return NotFound(
        f"there is no document {document_id!r} in collection {collection!r}.",
        param="document_id",
        code="unknown_document",
    )
