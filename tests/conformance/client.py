"""Clients of the routes of each dialect, and the assertions that the tests share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.contract.client import Json, cosine, norm

# The status codes of a route that the server does not have.
ABSENT = frozenset({404, 405, 501})
SAME = 0.99999
NUMBERS = re.compile(r"\[-?\d[^\[\]]*\]?")

Vector = list[float]


@dataclass(frozen=True)
class Case:
    """
    A wrong request. `name` describes it in the matrix, `body` is the JSON to send.

    `content` replaces the whole body where the request is not valid JSON.
    """

    name: str
    body: Json
    content: bytes | None = None


def summarise_response(response: httpx.Response) -> str:
    """Return the status and the body of an answer in one line, without the numbers of vectors."""
    body = NUMBERS.sub("[...]", " ".join(response.text.split()))
    return f"{response.status_code} {body[:200]}"


def parse_json(response: httpx.Response, status: int = 200) -> Any:
    """Return the JSON of an answer. Fails if the status is not `status`."""
    assert response.status_code == status, summarise_response(response)
    return response.json()


def parse_option(response: httpx.Response, name: str) -> Any:
    """Return the JSON of an answer. Skips the test if the server refuses the option `name`."""
    if response.status_code in {400, 422, 501}:
        pytest.skip(f"{name}: {summarise_response(response)}")
    return parse_json(response)


def assert_same(vector: Vector, reference: Vector) -> None:
    """Fail unless two vectors have the same dimensions and the same direction."""
    assert len(vector) == len(reference), f"{len(vector)} and {len(reference)} dimensions"
    similarity = cosine(vector, reference)
    assert similarity > SAME, f"cosine {similarity:.6f}"


def assert_unit(vector: Vector) -> None:
    """Fail unless a vector has length 1."""
    assert abs(norm(vector) - 1.0) < 1e-4, f"length {norm(vector):.6f}"


def assert_refused(response: httpx.Response) -> None:
    """Fail unless the status of an answer is 4xx."""
    assert 400 <= response.status_code < 500, summarise_response(response)


@dataclass(frozen=True)
class OpenAI:
    """OpenAI's routes under `base`. Each request carries `model`, unless it is None."""

    http: httpx.Client
    base: str
    model: str | None

    def post(self, **body: Any) -> httpx.Response:
        """Return the response of `POST /embeddings`."""
        return self.http.post(f"{self.base}/embeddings", json=self.add_model(body))

    def get(self, path: str) -> httpx.Response:
        """Return the response of `GET` to a path under `base`."""
        return self.http.get(f"{self.base}{path}")

    def add_model(self, body: Json) -> Json:
        """Return the body, with `model` if the body names none."""
        return ({"model": self.model} if self.model else {}) | body

    def embed(self, inputs: Any, **options: Any) -> Json:
        """Embed, and return the whole answer."""
        answer: Json = parse_json(self.post(input=inputs, **options))
        return answer

    def get_vectors(self, inputs: Any, **options: Any) -> list[Vector]:
        """Embed, and return the vectors in the order of the inputs."""
        return order_vectors(self.embed(inputs, **options))


def order_vectors(answer: Json) -> list[Vector]:
    """Return the vectors of an answer. Fails unless `index` counts from 0, as OpenAI's clients expect."""
    data: Sequence[Json] = answer["data"]
    indices = [entry["index"] for entry in data]
    assert indices == list(range(len(data))), f"indices {indices[:10]}"
    return [entry["embedding"] for entry in data]


def find_openai(http: httpx.Client, base_path: str, model: str | None) -> OpenAI | None:
    """
    Return the first routes that exist at `base_path` or its `/v1`. An empty `base_path` means `/v1`, then the root.

    Without `model`, the first listed model that embeds is used.
    """
    for base in dict.fromkeys([base_path or "/v1", f"{base_path}/v1", base_path]):
        if http.post(f"{base}/embeddings", json={}).status_code not in ABSENT:
            return OpenAI(http, base, model or _find_embedding_model(http, base))
    return None


def _find_embedding_model(http: httpx.Client, base: str) -> str | None:
    response = http.get(f"{base}/models")
    entries = response.json().get("data", []) if response.status_code == 200 else []
    for entry in entries:
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
        """Return the response of `POST` to a route. Skips the test if the route is absent."""
        return self.skip_absent(self.http.post(f"{self.base}{path}", json=body), f"POST {path}")

    def get(self, path: str) -> httpx.Response:
        """Return the response of `GET` to a route. Skips the test if the route is absent."""
        return self.skip_absent(self.http.get(f"{self.base}{path}"), f"GET {path}")

    def skip_absent(self, response: httpx.Response, route: str) -> httpx.Response:
        """Return the response. Skips the test if the route is absent or its model is of another kind (424)."""
        if response.status_code in ABSENT | {424}:
            pytest.skip(f"{route} answers {response.status_code}")
        return response

    def get_vectors(self, inputs: Any, **options: Any) -> list[Vector]:
        """Embed, and return the vectors."""
        vectors: list[Vector] = parse_json(self.post("/embed", inputs=inputs, **options))
        return vectors

    def get_info(self) -> Json:
        """Return the answer of `GET /info`."""
        info: Json = parse_json(self.get("/info"))
        return info


def find_tei(http: httpx.Client, base_path: str) -> Tei:
    """Return TEI's routes under `base_path`."""
    return Tei(http, base_path)
