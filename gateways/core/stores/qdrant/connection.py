"""Calls to one collection of a Qdrant server, and the server's errors as errors of the API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from qdrant_client import AsyncQdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from gateways.core.errors import BackendUnavailable
from gateways.core.stores.base import CollectionGone
from gateways.core.stores.qdrant.points import to_key
from gateways.core.stores.ranking import Score

# Statuses below 500 that pass by themselves: the key is being changed, a timeout, too many requests.
PASSING = (401, 403, 408, 429)
# Points per call of the server.
POINTS_PER_CALL = 256


@asynccontextmanager
async def mapped_errors() -> AsyncIterator[None]:
    """Raise BackendUnavailable for the client's errors while the server is away."""
    try:
        yield
    except ResponseHandlingException as error:
        raise BackendUnavailable(f"the vector store is away: {error}", retry_after_s=1) from error
    except UnexpectedResponse as error:
        if error.status_code is None or (error.status_code < 500 and error.status_code not in PASSING):
            raise
        raise BackendUnavailable(f"the vector store answered {error.status_code}", retry_after_s=1) from error


class CollectionConnection:
    """One collection of a server. Its calls raise CollectionGone once the collection is deleted."""

    def __init__(self, client: AsyncQdrantClient, collection: str, server_name: str) -> None:
        """`server_name` is the server's name of the collection."""
        self.client = client
        self.server_name = server_name
        self._collection = collection

    async def query(self, using: str, query: Any, limit: int, condition: models.Filter | None) -> list[Score]:
        """Return the `limit` best keys and their scores, by the vector named `using`."""
        async with self.mapped_errors():
            response = await self.client.query_points(
                self.server_name, query, using=using, limit=limit, query_filter=condition, with_payload=False
            )
        return [(to_key(point.id), point.score) for point in response.points]

    async def scroll(
        self,
        condition: models.Filter,
        per_call: int = POINTS_PER_CALL,
        *,
        with_vectors: bool = False,
        with_payload: bool | list[str] = True,
        limit: int | None = None,
    ) -> list[models.Record]:
        """Return all points that match; with `limit`, read no further page once there are that many."""
        records: list[models.Record] = []
        offset: Any = None
        while True:
            async with self.mapped_errors():
                page, offset = await self.client.scroll(
                    self.server_name,
                    condition,
                    per_call,
                    offset=offset,
                    with_payload=with_payload,
                    with_vectors=with_vectors,
                )
            records += page
            if offset is None or (limit and len(records) >= limit):
                return records

    @asynccontextmanager
    async def mapped_errors(self) -> AsyncIterator[None]:
        """Raise CollectionGone for the client's error about a missing collection."""
        try:
            async with mapped_errors():
                yield
        except (UnexpectedResponse, ValueError) as error:
            if "not found" in str(error).lower() or "doesn't exist" in str(error).lower():
                message = f"collection {self._collection!r} was deleted meanwhile."
                raise CollectionGone(message, param="collection") from None
            raise
