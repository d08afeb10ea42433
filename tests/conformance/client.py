"""The routes of a dialect, as its clients call them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.contract.wire import Json, cosine, norm

# A route that answers so is not there.
ABSENT = frozenset({404, 405, 501})
SAME = 0.99999
NUMBERS = re.compile(r"\[-?\d[^\[\]]*\]?")

Vector = list[float]


@dataclass(frozen=True)
class Case:
    """One wrong request: its words in the matrix, and what of the body it changes."""

    name: str
    body: Json
    content: bytes | None = None


def told(response: httpx.Response) -> str:
    """Return the status and the body of an answer in a line, numbers of vectors left out."""
    body = NUMBERS.sub("[...]", " ".join(response.text.split()))
    return f"{response.status_code} {body[:200]}"


def parsed(response: httpx.Response, status: int = 200) -> Any:
    """Return the JSON of an answer that must have `status`."""
    assert response.status_code == status, told(response)
    return response.json()


def option(response: httpx.Response, name: str) -> Any:
    """Return the JSON of an answer; skip where the server says that it does not have this option."""
    if response.status_code in {400, 422, 501}:
        pytest.skip(f"{name}: {told(response)}")
    return parsed(response)


def assert_same(one: Vector, other: Vector) -> None:
    """Hold two vectors to one direction."""
    assert len(one) == len(other), f"{len(one)} and {len(other)} dimensions"
    found = cosine(one, other)
    assert found > SAME, f"cosine {found:.6f}"


def assert_unit(vector: Vector) -> None:
    """Hold a vector to length 1."""
    assert abs(norm(vector) - 1.0) < 1e-4, f"length {norm(vector):.6f}"


def assert_refused(response: httpx.Response) -> None:
    """Hold an answer to a client error: not taken, and no failure of the server."""
    assert 400 <= response.status_code < 500, told(response)


@dataclass(frozen=True)
class OpenAI:
    """OpenAI's routes under `base`; `model` is sent with each request unless it is None."""

    http: httpx.Client
    base: str
    model: str | None

    def post(self, **body: Any) -> httpx.Response:
        """Ask for embeddings."""
        return self.http.post(f"{self.base}/embeddings", json=self.named(body))

    def get(self, path: str) -> httpx.Response:
        """Get what lies under the base."""
        return self.http.get(f"{self.base}{path}")

    def named(self, body: Json) -> Json:
        """Put the model into a body that names none."""
        return ({"model": self.model} if self.model else {}) | body

    def embed(self, inputs: Any, **options: Any) -> Json:
        """Return the whole answer."""
        answer: Json = parsed(self.post(input=inputs, **options))
        return answer

    def vectors(self, inputs: Any, **options: Any) -> list[Vector]:
        """Embed, and return the vectors by their index."""
        return in_order(self.embed(inputs, **options))


def in_order(answer: Json) -> list[Vector]:
    """Return the vectors of an answer by their index, as OpenAI's clients read them."""
    data: Sequence[Json] = answer["data"]
    indices = [entry["index"] for entry in data]
    assert indices == list(range(len(data))), f"indices {indices[:10]}"
    return [entry["embedding"] for entry in data]


def find_openai(http: httpx.Client, given: str, model: str | None) -> OpenAI | None:
    """Look where the URL points, then under /v1, then at the root; take the first listed model that embeds."""
    for base in dict.fromkeys([given or "/v1", f"{given}/v1", given]):
        if http.post(f"{base}/embeddings", json={}).status_code not in ABSENT:
            return OpenAI(http, base, model or _embedding_model(http, base))
    return None


def _embedding_model(http: httpx.Client, base: str) -> str | None:
    response = http.get(f"{base}/models")
    listed = response.json().get("data", []) if response.status_code == 200 else []
    for entry in listed:
        body = {"model": entry["id"], "input": "which of you embeds?"}
        if http.post(f"{base}/embeddings", json=body).status_code == 200:
            return str(entry["id"])
    return None


@dataclass(frozen=True)
class Tei:
    """TEI's routes under `base`."""

    http: httpx.Client
    base: str

    def post(self, path: str, **body: Any) -> httpx.Response:
        """Post to a route; skip where it is not there, or its model is of another kind: TEI says 424."""
        return self.offered(self.http.post(f"{self.base}{path}", json=body), f"POST {path}")

    def get(self, path: str) -> httpx.Response:
        """Get from a route; skip where it is not there."""
        return self.offered(self.http.get(f"{self.base}{path}"), f"GET {path}")

    def offered(self, response: httpx.Response, route: str) -> httpx.Response:
        """Skip where the route is not there."""
        if response.status_code in ABSENT | {424}:
            pytest.skip(f"{route} answers {response.status_code}")
        return response

    def vectors(self, inputs: Any, **options: Any) -> list[Vector]:
        """Embed, and return the vectors."""
        found: list[Vector] = parsed(self.post("/embed", inputs=inputs, **options))
        return found

    def info(self) -> Json:
        """Return what `/info` tells."""
        found: Json = parsed(self.get("/info"))
        return found


def find_tei(http: httpx.Client, given: str) -> Tei:
    """Return the routes where the URL points."""
    return Tei(http, given)
