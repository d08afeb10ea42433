"""`/v1/documents/{id}`: read a document, or forget it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from gateways.core.api.body import JsonRoute, Strict, json_response
from gateways.core.api.collection import COLLECTION
from gateways.core.errors import NotFound
from gateways.core.gateway import Gateway
from gateways.core.passages import whole_text


class PassageAnswer(Strict):
    """One passage: characters `start` to `end` of the document."""

    id: str
    start: int
    end: int


class DocumentAnswer(Strict):
    """A document as it was ingested, and how it was cut."""

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
            raise _no_document(document_id, collection)
        return json_response(
            {
                "id": document_id,
                "collection": collection,
                "text": whole_text(passages),
                "metadata": passages[0].metadata,
                "passages": [{"id": its.id, "start": its.start, "end": its.end} for its in passages],
            }
        )

    @routes.delete("/v1/documents/{document_id:path}")
    async def delete_document(document_id: str, collection: COLLECTION = "default") -> Response:
        """Forget a document; search stops finding it at once."""
        if not await gateway.delete(collection, document_id):
            raise _no_document(document_id, collection)
        return json_response({"id": document_id, "object": "document", "deleted": True})

    return routes


def _no_document(document_id: str, collection: str) -> NotFound:
    return NotFound(
        f"there is no document {document_id!r} in collection {collection!r}.",
        param="document_id",
        code="unknown_document",
    )
