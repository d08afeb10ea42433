"""Cohere's embed and rerank: `/v2` as its SDK's `ClientV2` calls them, and `/v1/embed` for its older `Client`."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from gateways.core.api.embeddings import Embedded, Text, Texts, embed
from gateways.core.api.rerank import Documents
from gateways.core.backend import F32
from gateways.core.dialects.reranking import rank
from gateways.core.errors import GatewayError, InvalidRequest
from gateways.core.gateway import Gateway
from gateways.core.http.json_route import JsonRoute, json_response
from gateways.core.http.schemas import Items, Lenient

# The prompt that belongs to an input type, where a model has one of that name; the others are names as they are.
PROMPTS = {"search_query": "query", "search_document": "document"}

EmbeddingType: TypeAlias = Literal["float", "base64", "int8", "binary", "ubinary"]
NoImages = Annotated[Items[str], WithJsonSchema({"type": "array", "items": {"type": "string"}, "maxItems": 0})]


class CohereAnswer(BaseModel):
    """The body of every error."""

    id: str
    message: str


class CohereRoute(JsonRoute):
    """Errors are `{"message"}` with an id; the status is the contract's."""

    equal_errors = False

    def error_response(self, error: GatewayError) -> Response:
        """Tell the error in Cohere's shape."""
        return json_response({"id": uuid.uuid4().hex, "message": error.message}, error.status, error.headers())


class Content(Lenient):
    """A part of an input; only texts can be embedded here."""

    type: Literal["text"] = "text"
    text: Text


class ContentInput(Lenient):
    """An input made of parts, which are embedded as one text."""

    content: Items[Content] = Field(min_length=1)


class CohereEmbedRequest(Lenient):
    """Texts to embed, plain or as inputs with text content; `max_tokens` and `priority` are not used."""

    # One of the two has to be there, whichever.
    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["texts"]}, {"required": ["inputs"]}]})

    texts: Texts | None = Field(None, description="This or `inputs`.", examples=[["hello", "goodbye"]])
    inputs: Items[ContentInput] | None = Field(None, description="This or `texts`.")
    images: NoImages | None = Field(None, description="Refused: the models here read text.")
    model: str | None = Field(None, description="Id or alias; default: the gateway's default model.")
    input_type: Literal["search_document", "search_query", "classification", "clustering"] | None = Field(
        None, description="Chooses the prompt put before each text, where the model has one for it."
    )
    embedding_types: Items[EmbeddingType] | None = Field(
        None, min_length=1, description="int8: scaled until its largest number is 127. binary: signs, packed."
    )
    output_dimension: int | None = Field(None, gt=0, description="Keep this many leading dimensions.")
    truncate: Literal["END", "START", "NONE"] = Field("END", description="Which end a long text loses; NONE: error.")

    def read(self) -> tuple[str, list[str]]:
        """Return what the texts are called, and the texts. Raises InvalidRequest unless there is one kind of them."""
        if self.images:
            raise InvalidRequest("images cannot be embedded here; send texts.", param="images")
        if (self.texts is None) == (self.inputs is None):
            raise InvalidRequest("send texts, or inputs with text content, and not both.", param="texts")
        if self.texts is not None:
            return "texts", self.texts
        return "inputs", ["\n".join(part.text for part in item.content) for item in self.inputs or ()]


class CohereRerankRequest(Lenient):
    """A query, and documents to put into the order of their relevance; `max_tokens_per_doc` is not used."""

    query: Text = Field(examples=["What is the capital of the United States?"])
    documents: Documents = Field(
        description="Texts, or objects with a `text`.", examples=[["Carson City is in Nevada.", "Washington, D.C."]]
    )
    model: str | None = Field(None, description="Id or alias of a reranker; default: the gateway's default one.")
    top_n: int | None = Field(None, ge=1, description="Results at most; default: all.")
    return_documents: bool = Field(False, description="Return each document's text with its score.")


def router(gateway: Gateway) -> APIRouter:
    """Return the routes over `gateway`."""
    routes = APIRouter(
        route_class=CohereRoute,
        tags=["Cohere"],
        responses={"4XX": {"model": CohereAnswer, "description": "What was wrong"}},
    )

    @routes.post("/v2/embed")
    async def embed_by_type(request: Request, body: CohereEmbedRequest) -> Response:
        """Embed texts; `embeddings` has one list for each of `embedding_types`, by default for `float`."""
        return json_response(await _embed(gateway, body, body.embedding_types or ["float"], "2"))

    @routes.post("/v1/embed")
    async def embed_floats(request: Request, body: CohereEmbedRequest) -> Response:
        """Embed texts; `embeddings` is a list of vectors unless `embedding_types` are asked for."""
        return json_response(await _embed(gateway, body, body.embedding_types, "1"))

    @routes.post("/v2/rerank")
    async def rerank(request: Request, body: CohereRerankRequest) -> Response:
        """Score documents from 0 to 1, best first."""
        ranking = await rank(gateway, body.query, body.documents, model=body.model, top=body.top_n)
        results = [
            {"index": place.index, "relevance_score": place.score}
            | ({"document": {"text": place.text}} if body.return_documents else {})
            for place in ranking.places
        ]
        return json_response({"id": uuid.uuid4().hex, "results": results, "meta": _meta("2", search_units=1)})

    return routes


async def _embed(
    gateway: Gateway, body: CohereEmbedRequest, types: list[EmbeddingType] | None, version: str
) -> dict[str, Any]:
    field, texts = body.read()
    prompts = dict(gateway.model(body.model).prompts)
    prompt = PROMPTS.get(body.input_type or "", body.input_type)
    done = await embed(
        gateway,
        texts,
        field=field,
        model=body.model,
        dimensions=body.output_dimension,
        truncate=body.truncate,
        prompt_name=prompt if prompt in prompts else None,
    )
    return {
        "id": uuid.uuid4().hex,
        "embeddings": _by_type(done, types) if types else list(done.vectors),
        "texts": texts,
        "meta": _meta(version, input_tokens=sum(done.answer.token_counts)),
        "response_type": "embeddings_by_type" if types else "embeddings_floats",
    }


def _by_type(done: Embedded, types: list[EmbeddingType]) -> dict[str, list[Any]]:
    return {name: [AS_TYPE[name](vector) for vector in done.vectors] for name in types}


def _base64(vector: F32) -> str:
    return base64.b64encode(vector.astype("<f4", copy=False).tobytes()).decode("ascii")


def _int8(vector: F32) -> list[int]:
    """Round to -127 ... 127 with the vector's own scale: cosines stay, lengths do not."""
    numbers: list[int] = np.rint(vector * (127 / max(float(np.abs(vector).max()), 1e-12))).astype(int).tolist()
    return numbers


def _ubinary(vector: F32) -> list[int]:
    numbers: list[int] = np.packbits(vector > 0).tolist()
    return numbers


def _binary(vector: F32) -> list[int]:
    """Return the bytes of `ubinary`, 128 less each, as sentence-transformers' `quantize_embeddings` does."""
    return [byte - 128 for byte in _ubinary(vector)]


AS_TYPE: dict[EmbeddingType, Callable[[F32], Any]] = {
    "float": lambda vector: vector,
    "base64": _base64,
    "int8": _int8,
    "binary": _binary,
    "ubinary": _ubinary,
}


def _meta(version: str, **billed: int) -> dict[str, Any]:
    return {"api_version": {"version": version}, "billed_units": billed}
