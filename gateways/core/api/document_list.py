"""`GET /v1/documents`: the documents of a collection, page by page."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from fastapi import APIRouter, Query, Response

from gateways.core.api.collection_fields import COLLECTION, PAGE_SIZE
from gateways.core.gateway import Gateway
from gateways.core.http.json_route import JsonRoute, json_response

DOCUMENT_ID: TypeAlias = Annotated[str | None, Query(max_length=512, description="The last document seen.")]


def router(gateway: Gateway) -> APIRouter:
    """Return the route over `gateway`."""
    routes = APIRouter(route_class=JsonRoute, tags=["documents"])

    @routes.get("/v1/documents")
    async def documents(
        collection: COLLECTION = "default", after: DOCUMENT_ID = None, limit: PAGE_SIZE = 100
    ) -> Response:
        """
        List documents in an order that never changes. `next` is the `after` of the next page, null at the end.

        A document that is ingested or deleted meanwhile does not make the list leave out or repeat another one.
        """
        listed = await (await gateway.collection(collection)).list_documents(after, limit + 1)
        last = listed[limit - 1].id if len(listed) > limit else None
        return json_response({"object": "list", "data": listed[:limit], "next": last})

    return routes
