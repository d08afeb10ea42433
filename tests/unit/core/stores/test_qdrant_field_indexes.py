"""The indexes of metadata fields that the real client asks a Qdrant server for; the answers are canned."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from qdrant_client import AsyncQdrantClient

from gateways.core.profiles import Profile
from gateways.core.stores.qdrant import points
from gateways.core.stores.qdrant.connection import CollectionConnection
from gateways.core.stores.qdrant.field_indexes import FieldIndexes
from tests.support.canned_server import canned_answers, http

PROFILE = Profile("tiny", 4, "bm25")


async def describe_collection() -> bytes:
    """Return the answer of a server about a collection, which an engine of the client makes."""
    client = AsyncQdrantClient(":memory:")
    await client.create_collection("books", **points.vectors_config(PROFILE))
    info = (await client.get_collection("books")).model_dump(mode="json")
    await client.close()
    return http(200, json.dumps({"result": info, "status": "ok", "time": 0.0}).encode())


def list_requests(*batches: list[dict[str, Any]], max_paths: int = 64) -> list[tuple[str, str]]:
    """Add the metadata of each batch; return the path and the kind of each index that the server is asked for."""
    info = asyncio.run(describe_collection())
    accepted = http(200, b'{"result":{"operation_id":1,"status":"acknowledged"},"status":"ok","time":0.0}')

    async def scenario(port: int) -> None:
        client = AsyncQdrantClient(f"http://127.0.0.1:{port}", check_compatibility=False)
        fields = FieldIndexes(CollectionConnection(client, "books", "books"), max_paths)
        for batch in batches:
            await fields.add(batch)
        await client.close()

    with canned_answers(lambda n: info if n == 1 else accepted) as (port, bodies):
        asyncio.run(scenario(port))
        return [(body["field_name"], body["field_schema"]) for body in map(json.loads, filter(None, bodies))]


def test_a_field_gets_its_index_when_it_appears() -> None:
    """Of strings, numbers, booleans, lists, and nested fields under both of their readings; each once."""
    metadata = {"lang": "en", "year": 7, "tags": ["a"], "ok": True, "by": {"name": "Ann"}, "nothing": None}

    requests = list_requests([metadata, {"lang": "de"}], [{"lang": "en"}])

    assert sorted(requests) == [
        ('metadata."by"."name"', "keyword"),
        ('metadata."by.name"', "keyword"),
        ('metadata."lang"', "keyword"),
        ('metadata."ok"', "bool"),
        ('metadata."tags"', "keyword"),
        ('metadata."year"', "float"),
    ]


def test_the_first_kind_of_a_field_counts() -> None:
    """The server has one index of a field."""
    assert list_requests([{"year": 7}, {"year": "unknown"}]) == [('metadata."year"', "float")]


def test_only_so_many_fields_get_an_index() -> None:
    """A name that no filter can have does not count, nor does a text that nobody filters by."""
    requests = list_requests([{'"': 1, "text": "x" * 1_000, "first": 1, "second": 1}], max_paths=1)

    assert requests == [('metadata."first"', "float")]
