"""Limits of what a gateway stores."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.contract.client import assert_error, ingest, ok
from tests.support.gateways import describe


@pytest.mark.parametrize("store", ["edge", "pgvector"])
def test_no_more_collections_are_created_than_the_setting_allows(
    store: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Neither by an ingest nor by PUT; those that exist take documents, and one that is deleted makes room."""
    url = {"DATABASE_URL": request.getfixturevalue("database_url")} if store == "pgvector" else {}
    environ = {"STORE": store, "MAX_COLLECTIONS": "2", "FLUSH_EVERY_S": "0.1"} | url
    gateway = describe("pseudo", tmp_path, python=Path(sys.executable), **environ)
    with gateway.client() as http:
        try:
            gateway.start()
            ingest(http, [{"text": "one"}], collection="second")

            refusals = [
                http.put("/v1/collections/third", json={}),
                http.post("/v1/ingest", json={"documents": [{"text": "x"}], "collection": "third"}),
            ]

            for refusal in refusals:
                error = assert_error(refusal, 409, "too_many_collections")
                assert "MAX_COLLECTIONS" in error["message"]
            ok(http.put("/v1/collections/second", json={"top_k": 3}))
            ingest(http, [{"text": "two"}], collection="second")
            ok(http.delete("/v1/collections/second"))
            ingest(http, [{"text": "three"}], collection="third")
        finally:
            gateway.kill()
