"""Keys that are limited to collections: each sees and changes its own, and learns nothing of the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.support.gateways import wait_until
from tests.system.security.conftest import Start
from tests.system.security.test_keys import new_key

pytestmark = pytest.mark.gateway("pseudo")

BETA = "the-collection-of-beta"


class Clients(NamedTuple):
    """A client of each tenant, and one without limits."""

    alpha: httpx.Client
    beta: httpx.Client
    owner: httpx.Client


@pytest.fixture
def clients(start: Start, tmp_path: Path) -> Iterator[Clients]:
    """Yield clients of one gateway. Beta has a document, and an unlimited key too."""
    file = tmp_path / "keys.yaml"
    file.write_text("keys:\n")
    scopes = ("--scopes", "read,write,admin")
    keys = [
        new_key(file, "alpha", *scopes, "--collections", "alpha,alpha-*"),
        new_key(file, "beta", *scopes, "--collections", BETA),
        new_key(file, "owner", *scopes),
    ]
    gateway = start(API_KEYS_FILE=str(file), METRICS_ACCESS="key", FLUSH_EVERY_S="0.1", EMBED_CACHE_MB="8")
    with ExitStack() as stack:
        opened = [stack.enter_context(gateway.client(headers={"Authorization": f"Bearer {key}"})) for key in keys]
        clients = Clients(*opened)
        ingest(clients.beta, BETA, "b")
        yield clients


def ingest(http: httpx.Client, collection: str, name: str, **headers: str) -> httpx.Response:
    """Ingest a document and wait for its job."""
    body = {"collection": collection, "documents": [{"id": name, "text": f"text of {name}"}]}
    accepted = http.post("/v1/ingest", json=body, headers=headers)
    if accepted.status_code == 202:
        path = f"/v1/jobs/{accepted.json()['job_id']}"
        wait_until(lambda: http.get(path).json()["finished_at"], 30, "the end of a job")
    return accepted


def test_a_key_serves_its_own_collections(clients: Clients) -> None:
    """By their names, and by the beginning of a name with a star."""
    for collection in ("alpha", "alpha-2"):
        assert ingest(clients.alpha, collection, "a").status_code == 202
        search = {"collection": collection, "query": "text"}
        assert [hit["id"] for hit in clients.alpha.post("/v1/search", json=search).json()["results"]] == ["a"]
    names = [collection["name"] for collection in clients.alpha.get("/v1/collections").json()["data"]]
    assert names == ["alpha", "alpha-2"]
    everything = {collection["name"] for collection in clients.owner.get("/v1/collections").json()["data"]}
    assert everything == {"alpha", "alpha-2", BETA, "default"}


@pytest.mark.parametrize("collection", [BETA, "default", "alphabet", "nowhere"])
def test_other_collections_are_refused_whether_they_exist_or_not(clients: Clients, collection: str) -> None:
    """Each route that names a collection answers 403, and the documents stay."""
    http = clients.alpha
    body = {"collection": collection, "documents": [{"id": "b", "text": "mine now"}]}
    answers = [
        http.post("/v1/ingest", json=body),
        http.post("/v1/ingest", json=body | {"chunk": {"max_tokens": 64}}),
        http.post("/v1/search", json={"collection": collection, "query": "text"}),
        http.get("/v1/documents", params={"collection": collection}),
        http.get("/v1/documents/b", params={"collection": collection}),
        http.delete("/v1/documents/b", params={"collection": collection}),
        http.get(f"/v1/collections/{collection}"),
        http.put(f"/v1/collections/{collection}", json={"top_k": 3}),
        http.delete(f"/v1/collections/{collection}"),
    ]

    assert {answer.status_code for answer in answers} == {403}
    assert {answer.json()["error"]["code"] for answer in answers} == {"collection_forbidden"}
    assert "alpha, alpha-*" in answers[0].json()["error"]["message"]
    kept = clients.beta.get("/v1/documents/b", params={"collection": BETA})
    assert kept.json()["text"] == "text of b"


def test_jobs_of_others_are_not_there(clients: Clients) -> None:
    """They are not listed, and can be neither read, cancelled nor tried again."""
    job = clients.beta.get("/v1/jobs").json()["data"][0]["job_id"]
    own = [ingest(clients.alpha, "alpha", f"a{number}").json()["job_id"] for number in range(3)]
    http = clients.alpha

    refused = [http.get(f"/v1/jobs/{job}"), http.delete(f"/v1/jobs/{job}"), http.post(f"/v1/jobs/{job}/retry")]
    refused.append(http.get("/v1/jobs", params={"after": job}))
    pages = [http.get("/v1/jobs", params={"limit": 2}).json()]
    pages.append(http.get("/v1/jobs", params={"limit": 2, "after": pages[0]["next"]}).json())

    assert {answer.status_code for answer in refused} == {404}
    assert [listed["job_id"] for page in pages for listed in page["data"]] == own[::-1]
    assert pages[1]["next"] is None
    assert clients.owner.get(f"/v1/jobs/{job}").status_code == 200


def test_nothing_names_what_another_has(clients: Clients) -> None:
    """Neither the error about a collection that is missing, nor the configuration, nor an Idempotency-Key."""
    missing = clients.alpha.get("/v1/collections/alpha-9")
    first = ingest(clients.beta, BETA, "b2", **{"Idempotency-Key": "monday"})
    second = ingest(clients.alpha, "alpha", "a", **{"Idempotency-Key": "monday"})
    again = ingest(clients.alpha, "alpha", "a", **{"Idempotency-Key": "monday"})

    assert missing.status_code == 404
    assert BETA not in missing.text
    assert BETA not in clients.alpha.get("/v1/config").text
    assert (first.status_code, second.status_code) == (202, 202)
    assert second.json()["job_id"] != first.json()["job_id"]
    assert again.json()["job_id"] == second.json()["job_id"]


def test_a_limited_key_gets_nothing_that_all_share(clients: Clients) -> None:
    """A snapshot has all collections, and metrics count the work of all keys."""
    assert clients.alpha.post("/v1/snapshot").status_code == 403
    assert clients.alpha.get("/metrics").status_code == 403
    assert clients.owner.post("/v1/snapshot").status_code == 200
    assert clients.owner.get("/metrics").status_code == 200


def test_the_cache_tells_nothing_of_another_key(clients: Clients) -> None:
    """A text that another key embedded is computed for this one; the same key finds it in the cache."""

    def hits() -> float:
        lines = clients.owner.get("/metrics").text.splitlines()
        return float(next(line for line in lines if line.startswith("gateway_embed_cache_hits_total ")).split()[1])

    body = {"input": "a text that somebody may ask for"}
    counts = []
    for http in (clients.beta, clients.alpha, clients.alpha, clients.beta):
        assert http.post("/v1/embeddings", json=body).status_code == 200
        counts.append(hits())

    assert [count - counts[0] for count in counts] == [0, 0, 1, 2]
