"""`POST /v1/embeddings`: OpenAI's embeddings, with options of our own."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import Field, WithJsonSchema

from gateways.core.api.input_names import name_inputs
from gateways.core.backend import F32, Embeddings, EncodeOptions, ModelInfo, Truncate
from gateways.core.errors import InvalidRequest, TooLarge
from gateways.core.gateway import Gateway
from gateways.core.http.json_route import JsonRoute, json_response
from gateways.core.http.schemas import Items, Lenient
from gateways.core.process_settings import GatewaySettings
from gateways.core.scoring.vectors import normalize, shorten
from gateways.core.settings import RequestLimits

_TEXT = {"type": "string", "minLength": 1}
_IDS = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}
_INPUT = {
    "anyOf": [
        _TEXT,
        {"type": "array", "items": _TEXT, "minItems": 1},
        _IDS,
        {"type": "array", "items": _IDS, "minItems": 1},
    ]
}

Input = Annotated[Any, WithJsonSchema(_INPUT)]
# What the descriptions say of texts, `read_inputs` checks.
Text = Annotated[str, WithJsonSchema(_TEXT)]
Texts = Annotated[Items[str], WithJsonSchema({"type": "array", "items": _TEXT, "minItems": 1})]


class EmbeddingsRequest(Lenient):
    """Texts to embed, or lists of the model's own token ids where ALLOW_TOKEN_IDS is set."""

    input: Input = Field(description="One text, a list of texts, one list of token ids, or a list of such lists.")
    model: str | None = Field(None, description="Id or alias; default: the gateway's default model.")
    encoding_format: Literal["float", "base64"] = Field("float", description="base64: little-endian float32.")
    dimensions: int | None = Field(None, gt=0, description="Keep this many leading dimensions, then normalise again.")
    user: str | None = Field(None, description="Accepted for OpenAI's clients; not used.")
    normalize: bool = Field(True, description="Scale vectors to unit length.")
    truncate: Literal["END", "START", "NONE"] = Field("END", description="Which end a long text loses; NONE: error.")
    prompt_name: str | None = Field(None, description="Prompt of the model to put before each text.")


class Embedding(Lenient):
    """One vector, at the place of its text."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class Usage(Lenient):
    """Tokens the model read, special tokens included, after truncation."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(Lenient):
    """OpenAI's list object."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors as a client wants them, float32 (n, dimensions), and the backend's answer they come from."""

    model: ModelInfo
    vectors: F32
    answer: Embeddings


def router(gateway: Gateway) -> APIRouter:
    """Return the route over `gateway`."""
    routes = APIRouter(route_class=JsonRoute, tags=["embeddings"])

    @routes.post("/v1/embeddings", response_model=EmbeddingsAnswer)
    async def embeddings(request: Request, body: EmbeddingsRequest) -> Response:
        """Embed up to MAX_INPUTS texts."""
        return await openai_embeddings(gateway, body)

    return routes


async def openai_embeddings(gateway: Gateway, body: EmbeddingsRequest) -> Response:
    """Answer OpenAI's request in OpenAI's shape."""
    done = await embed(
        gateway,
        body.input,
        model=body.model,
        dimensions=body.dimensions,
        normalized=body.normalize,
        truncate=body.truncate,
        prompt_name=body.prompt_name,
    )
    tokens = sum(done.answer.token_counts)
    return json_response(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": _encoded(vector, body.encoding_format)}
                for index, vector in enumerate(done.vectors)
            ],
            "model": done.model.id,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )


async def embed(
    gateway: Gateway,
    value: Any,
    *,
    field: str = "input",
    model: str | None = None,
    dimensions: int | None = None,
    normalized: bool = True,
    truncate: Truncate = "END",
    prompt_name: str | None = None,
) -> Embedded:
    """
    Embed what a body holds under the name `field`, which errors about it repeat.

    Raises as `read_inputs`, `check_no_token_ids`, `Gateway.model` and `Backend.embed` do, InvalidRequest for too many
    dimensions and for an unknown prompt.
    """
    inputs = read_inputs(value, gateway.settings.max_inputs, field)
    check_no_token_ids(inputs, gateway.settings, field)
    info = gateway.model(model)
    if dimensions and dimensions > info.dimensions:
        raise InvalidRequest(
            f"dimensions is {dimensions}; {info.id} has {info.dimensions}, and fewer can be asked for.",
            param="dimensions",
        )
    prompt = prompt_of(info, prompt_name)
    texts = [prompt + item if isinstance(item, str) else item for item in inputs] if prompt else inputs
    with name_inputs(field, single=_is_one(value)):
        answer = await gateway.embed(info, texts, EncodeOptions(truncate))
    vectors = shorten(answer.vectors, dimensions)
    return Embedded(info, normalize(vectors) if normalized else vectors, answer)


def read_inputs(value: Any, limit: int, field: str = "input") -> list[str | list[int]]:
    """
    Return the inputs, which a client calls `field`, as a list of texts or of token id lists.

    Raises InvalidRequest with the place of the first bad one, TooLarge beyond `limit`.
    """
    items: list[Any] = [value] if _is_one(value) else value
    check_count(items, limit, field)
    kind = type(items[0])
    for position, item in enumerate(items):
        _check_input(item, kind, field if items is not value else f"{field}.{position}")
    return items


def check_no_token_ids(inputs: list[str | list[int]], settings: GatewaySettings, field: str) -> None:
    """Raise InvalidRequest for inputs that are token ids, unless ALLOW_TOKEN_IDS is set."""
    if isinstance(inputs[0], list) and not settings.allow_token_ids:
        raise InvalidRequest(
            f"{field} holds token ids, and ids of another model's tokenizer mean other words here: send text "
            "(langchain-openai: check_embedding_ctx_length=False). If they are of this model's own tokenizer, start "
            "the gateway with ALLOW_TOKEN_IDS=true.",
            param=field,
            code="token_ids_refused",
        )


def check_count(items: list[Any], limit: int, field: str) -> None:
    """Raise InvalidRequest for a list with nothing in it, TooLarge for one with more than `limit`."""
    if not items:
        raise InvalidRequest(f"{field} is an empty list; send at least one.", param=field, code="empty_input")
    if len(items) > limit:
        raise TooLarge(
            f"{field} has {len(items)} entries and {limit} may come at once; send several requests.",
            param=field,
            code="too_many_inputs",
        )


def check_length(text: str, limit: int, setting: str, field: str) -> None:
    """Raise TooLarge for a text of more than `limit` characters, which `setting` sets."""
    if len(text) > limit:
        raise TooLarge(
            f"{field} has {len(text)} characters and may have {limit} ({setting}); send it in parts.",
            param=field,
            code="text_too_long",
        )


def check_query(query: str, limits: RequestLimits, purpose: str) -> None:
    """Raise InvalidRequest for a query without a word, TooLarge for one over MAX_QUERY_CHARS."""
    check_length(query, limits.max_query_chars, "MAX_QUERY_CHARS", "query")
    if not query.strip():
        raise InvalidRequest(f"query is empty; {purpose}.", param="query", code="empty_input")


def check_documents(texts: Sequence[str], limits: RequestLimits, field: str) -> None:
    """Raise TooLarge for texts that are over MAX_DOCUMENT_CHARS together."""
    if sum(map(len, texts)) > limits.max_document_chars:
        raise TooLarge(
            f"{field} have {sum(map(len, texts))} characters and may have {limits.max_document_chars} together "
            "(MAX_DOCUMENT_CHARS); send several requests.",
            param=field,
            code="text_too_long",
        )


def _is_one(value: Any) -> bool:
    """Say whether this is a single input: a text, or a flat list of token ids."""
    return not isinstance(value, list) or (len(value) > 0 and type(value[0]) is int)


def _check_input(item: Any, kind: type, at: str) -> None:
    if type(item) is not kind or not isinstance(item, str | list):
        raise InvalidRequest(
            f"{at} must be a text or a list of token ids, all inputs of one kind.", param=at, code="invalid_type"
        )
    if not (item.strip() if isinstance(item, str) else item):
        raise InvalidRequest(f"{at} is empty; an embedding needs a text.", param=at, code="empty_input")
    wrong = None
    if isinstance(item, list):
        wrong = next((offset for offset, token in enumerate(item) if type(token) is not int), None)
    if wrong is not None:
        at = f"{at}.{wrong}"
        raise InvalidRequest(f"{at} must be a token id, a 64-bit integer.", param=at, code="invalid_type")


def prompt_of(model: ModelInfo, name: str | None) -> str:
    """Return what the model wants put before each text. Raises InvalidRequest for a prompt it does not have."""
    prompts = dict(model.prompts)
    if name is not None and name not in prompts:
        raise InvalidRequest(
            f"{model.id} has no prompt {name!r}; it has {', '.join(prompts) or 'none'}.",
            param="prompt_name",
            code="unknown_prompt",
        )
    return prompts[name] if name is not None else ""


def _encoded(vector: F32, encoding_format: str) -> F32 | str:
    if encoding_format == "float":
        return vector
    return base64.b64encode(vector.astype("<f4", copy=False).data).decode("ascii")
