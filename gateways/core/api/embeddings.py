"""`POST /v1/embeddings`: OpenAI's embeddings, with options of our own."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import Field, WithJsonSchema

from gateways.core.api.body import JsonRoute, Lenient, json_response
from gateways.core.backend import F32, Embeddings, ModelInfo
from gateways.core.errors import InvalidRequest, TooLarge
from gateways.core.gateway import Gateway
from gateways.core.vectors import normalize, shorten

_TEXT = {"type": "string", "minLength": 1}
_IDS = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}
_INPUT = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}, _IDS, {"type": "array", "items": _IDS}]}

Input = Annotated[Any, WithJsonSchema(_INPUT)]


class EmbeddingsRequest(Lenient):
    """Texts, or lists of the model's own token ids, to embed."""

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


def router(gateway: Gateway) -> APIRouter:
    """Return the route over `gateway`."""
    routes = APIRouter(route_class=JsonRoute, tags=["embeddings"])

    @routes.post("/v1/embeddings", response_model=EmbeddingsAnswer)
    async def embeddings(request: Request, body: EmbeddingsRequest) -> Response:
        """Embed up to MAX_INPUTS texts."""
        inputs = read_inputs(body.input, gateway.settings.max_inputs)
        model = gateway.model(body.model)
        if body.dimensions and body.dimensions > model.dimensions:
            raise InvalidRequest(
                f"dimensions is {body.dimensions}; {model.id} has {model.dimensions}, and fewer can be asked for.",
                param="dimensions",
            )
        prompt = _prompt(model, body.prompt_name)
        texts = [prompt + item if isinstance(item, str) else item for item in inputs] if prompt else inputs
        with _true_path(body.input):
            answer = await gateway.embed(model, texts, truncate=body.truncate)
        return json_response(_answer(answer, model, body))

    return routes


def read_inputs(value: Any, limit: int) -> list[str | list[int]]:
    """
    Return the inputs as a list of texts or of token id lists.

    Raises InvalidRequest with the place of the first bad one, TooLarge beyond `limit`.
    """
    items: list[Any] = [value] if _is_one(value) else value
    if not items:
        raise InvalidRequest("input is an empty list; send at least one text.", param="input", code="empty_input")
    if len(items) > limit:
        raise TooLarge(
            f"input has {len(items)} entries and {limit} may come at once; send several requests.",
            param="input",
            code="too_many_inputs",
        )
    kind = type(items[0])
    for position, item in enumerate(items):
        _check_input(item, kind, "input" if items is not value else f"input.{position}")
    return items


def _is_one(value: Any) -> bool:
    """Say whether this is a single input: a text, or a flat list of token ids."""
    return not isinstance(value, list) or (len(value) > 0 and type(value[0]) is int)


@contextmanager
def _true_path(value: Any) -> Iterator[None]:
    """Let an error about the one input of a request that has no list say `input`, not `input.0`."""
    try:
        yield
    except InvalidRequest as error:
        if _is_one(value) and error.param:
            error.param = error.param.replace("input.0", "input", 1)
            error.message = error.message.replace("input.0", "input", 1)
        raise


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


def _prompt(model: ModelInfo, name: str | None) -> str:
    prompts = dict(model.prompts)
    if name is not None and name not in prompts:
        raise InvalidRequest(
            f"{model.id} has no prompt {name!r}; it has {', '.join(prompts) or 'none'}.",
            param="prompt_name",
            code="unknown_prompt",
        )
    return prompts[name] if name is not None else ""


def _answer(answer: Embeddings, model: ModelInfo, body: EmbeddingsRequest) -> dict[str, Any]:
    vectors = shorten(answer.vectors, body.dimensions)
    if body.normalize:
        vectors = normalize(vectors)
    tokens = sum(answer.token_counts)
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _encoded(vector, body.encoding_format)}
            for index, vector in enumerate(vectors)
        ],
        "model": model.id,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _encoded(vector: F32, encoding_format: str) -> F32 | str:
    if encoding_format == "float":
        return vector
    return base64.b64encode(vector.astype("<f4", copy=False).data).decode("ascii")
