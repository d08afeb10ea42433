"""
What an embed service may speak.

* native   our embed service: `POST /embed {"texts"}` with a binary answer
* texts    the plain shape: `POST /embed {"texts"}` -> `{"embeddings"}`
* openai   `POST /v1/embeddings`
* tei      text-embeddings-inference: `POST /embed {"inputs"}` -> a list of vectors
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import numpy as np
import orjson

from gateways.core import wire
from gateways.core.backend import F32, Embeddings, Lane, ModelInfo, TokenIds, Truncate
from gateways.core.errors import (
    BackendUnavailable,
    GatewayError,
    InvalidRequest,
    Overloaded,
    TooLarge,
    UpstreamFailed,
)
from gateways.split.gateway.http import Client

Items = Sequence[str | TokenIds]
Call = tuple[str, bytes, dict[str, str]]
Probe = Callable[[], Awaitable[Embeddings]]
JSON = {"Content-Type": "application/json"}


class Dialect(Protocol):
    """How to ask, and how to read the answer."""

    def request(self, inputs: Items, truncate: Truncate, lane: Lane, model: str) -> Call:
        """Return path, body and headers of the call that embeds `inputs`."""
        ...

    def answer(self, raw: bytes) -> Embeddings:
        """Return the vectors in a 200's body; UpstreamFailed when there are none."""
        ...

    async def models(self, client: Client, model: str, probe: Probe) -> tuple[ModelInfo, ...]:
        """Return the model the upstream serves, nothing while it is not ready."""
        ...


class Native:
    """Our own embed service."""

    def request(self, inputs: Items, truncate: Truncate, lane: Lane, model: str) -> Call:
        """Ask for the binary answer."""
        body = orjson.dumps({"texts": inputs, "truncate": truncate, "lane": lane})
        return "embed", body, JSON | {"Accept": wire.MEDIA_TYPE}

    def answer(self, raw: bytes) -> Embeddings:
        """Read the binary answer."""
        try:
            return wire.decode(raw)
        except wire.WireError as error:
            raise UpstreamFailed(f"the embed service's answer cannot be read: it {error}") from error

    async def models(self, client: Client, model: str, probe: Probe) -> tuple[ModelInfo, ...]:
        """Read them from the service's health."""
        response = await client.get("healthz")
        health = orjson.loads(response.body)
        if response.status != 200 or health["status"] != "ok":
            return ()
        return tuple(_model(fields) for fields in health["models"])


class Foreign:
    """A service of another make, which tells nothing of its model: it is measured with one text."""

    def __init__(self, path: str, field: str, read: Callable[[Any], Any]) -> None:
        self._path = path
        self._field = field
        self._read = read

    def request(self, inputs: Items, truncate: Truncate, lane: Lane, model: str) -> Call:
        """Ask as its clients do; it decides itself how it truncates, so a stricter wish is refused."""
        if truncate != "END":
            raise InvalidRequest(
                f"truncate: {truncate} is not to be had from this gateway's embed service; it truncates at the end.",
                param="truncate",
            )
        body: dict[str, Any] = {self._field: inputs}
        return self._path, orjson.dumps(body | ({"model": model} if model else {})), JSON

    def answer(self, raw: bytes) -> Embeddings:
        """Read the vectors; the service counts no tokens, so words are counted as none."""
        try:
            vectors: F32 = np.asarray(self._read(orjson.loads(raw)), dtype=np.float32)
        except (ValueError, KeyError, TypeError) as error:
            raise UpstreamFailed(f"the embed service's answer cannot be read: {error}") from error
        if vectors.ndim != 2:
            raise UpstreamFailed("the embed service's answer is not a list of vectors of one length")
        return Embeddings(vectors, [0] * len(vectors))

    async def models(self, client: Client, model: str, probe: Probe) -> tuple[ModelInfo, ...]:
        """Embed one text to learn the dimensions."""
        dimensions = (await probe()).vectors.shape[1]
        return (ModelInfo(model or "upstream", "dense", dimensions, max_input_tokens=0, precision="upstream"),)


def _openai_vectors(answer: Any) -> list[Any]:
    return [entry["embedding"] for entry in sorted(answer["data"], key=lambda entry: entry["index"])]


DIALECTS: dict[str, Dialect] = {
    "native": Native(),
    "texts": Foreign("embed", "texts", lambda answer: answer["embeddings"]),
    "openai": Foreign("v1/embeddings", "input", _openai_vectors),
    "tei": Foreign("embed", "inputs", lambda answer: answer),
}


def upstream_error(status: int, raw: bytes) -> GatewayError:
    """Return what an upstream's error means to our client: its own fault, or the upstream's."""
    try:
        told = orjson.loads(raw)["error"]
        message, param, code = told["message"], told["param"], told["code"]
    except (ValueError, KeyError, TypeError):
        message, param, code = f"the embed service answered {status}", None, None
    if status == 429:
        return Overloaded(message, code=code, retry_after_s=1)
    if status == 413:
        return TooLarge(message, param=param, code=code)
    if 400 <= status < 500:
        return InvalidRequest(message, param=param, code=code)
    if status == 503:
        return BackendUnavailable(message, retry_after_s=1)
    return UpstreamFailed(message)


def _model(fields: dict[str, Any]) -> ModelInfo:
    listed = {name: tuple(fields[name]) for name in ("languages", "aliases")}
    prompts = tuple((name, text) for name, text in fields["prompts"])
    return ModelInfo(**(fields | listed | {"prompts": prompts}))
