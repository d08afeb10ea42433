"""What TEI's clients send and read: bodies, errors, headers and `/info`, after its `router/src/http/types.rs`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from fastapi import Response
from pydantic import BaseModel, Field

import gateways
from gateways.core.api.embeddings import Input, Text, Texts
from gateways.core.backend import ModelInfo, Timings, Token, Truncate
from gateways.core.errors import GatewayError
from gateways.core.http.json_route import JsonRoute, json_response
from gateways.core.http.schemas import Lenient
from gateways.core.process_settings import GatewaySettings

# TEI's status and type for our codes, and else for our statuses; what it has no word for keeps our status.
_BY_CODE = {
    "empty_input": (400, "Empty"),
    "invalid_json": (400, "Validation"),
    "context_length_exceeded": (413, "Validation"),
    "invalid_token_id": (422, "Tokenizer"),
    "wrong_model_kind": (424, "Backend"),
}
_BY_STATUS = {
    400: (422, "Validation"),
    429: (429, "Overloaded"),
    500: (424, "Backend"),
    502: (424, "Backend"),
    503: (503, "Unhealthy"),
    504: (504, "Backend"),
}


class TeiAnswer(BaseModel):
    """The body of every error."""

    error: str
    error_type: Literal["Unhealthy", "Backend", "Overloaded", "Validation", "Tokenizer", "Empty"]


class TeiRoute(JsonRoute):
    """Errors are `{"error", "error_type"}`, with TEI's statuses."""

    def error_response(self, error: GatewayError) -> Response:
        """Tell the error in TEI's words."""
        known = _BY_STATUS.get(error.status, (error.status, "Validation"))
        status, kind = _BY_CODE.get(error.code, known)
        message = error.message.replace("truncate: END or START", "truncate: true")
        return json_response({"error": message, "error_type": kind}, status, error.headers())


class Cut(Lenient):
    """What is done with a text that is too long, and the model, which TEI's own clients never name."""

    truncate: bool = Field(True, description="Cut what is too long; false: error.")
    truncation_direction: Literal["Right", "Left", "right", "left"] = Field("Right", description="The end that goes.")
    model: str | None = Field(None, description="Id or alias; default: the gateway's default model of the kind.")

    def end(self) -> Truncate:
        """Return the same in the contract's words."""
        if not self.truncate:
            return "NONE"
        return "END" if self.truncation_direction.lower() == "right" else "START"


class InputsRequest(Cut):
    """Texts, or lists of token ids where ALLOW_TOKEN_IDS is set."""

    inputs: Input = Field(description="One text or a list of texts.", examples=["What is Deep Learning?"])
    prompt_name: str | None = Field(None, description="Prompt of the model to put before each text.")


class InputsEmbedRequest(InputsRequest):
    """Texts to embed."""

    normalize: bool = Field(True, description="Scale vectors to unit length.")
    dimensions: int | None = Field(None, gt=0, description="Keep this many leading dimensions, then normalise again.")


class TokenizeRequest(Lenient):
    """Texts to tokenise."""

    inputs: Input = Field(description="One text or a list of texts.", examples=["What is Deep Learning?"])
    add_special_tokens: bool = Field(True, description="Whether special tokens are among the tokens.")
    prompt_name: str | None = Field(None, description="Prompt of the model to put before each text.")
    model: str | None = Field(None, description="Id or alias; default: the gateway's default model.")


class TextsRerankRequest(Cut):
    """A query, and texts that may answer it."""

    query: Text = Field(examples=["What is Deep Learning?"])
    texts: Texts = Field(examples=[["Deep Learning is not...", "Deep learning is..."]])
    raw_scores: bool = Field(False, description="The model's own scores instead of relevance from 0 to 1.")
    return_text: bool = Field(False, description="Return each text with its score.")


class SimpleToken(BaseModel):
    """A token, and the characters it stands for."""

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


def shown(tokens: Sequence[Token], special: bool) -> list[dict[str, Any]]:
    """Return the tokens of one text as TEI's `SimpleToken`."""
    return [token._asdict() for token in tokens if special or not token.special]


def info(model: ModelInfo, settings: GatewaySettings) -> dict[str, Any]:
    """Return what `/info` tells; requests that may wait are counted as texts of full length."""
    return {
        "model_id": model.id,
        "model_sha": None,
        "model_dtype": {"fp32": "float32"}.get(model.precision, model.precision),
        "model_type": {"embedding": {}},
        "max_concurrent_requests": settings.max_queue_tokens // model.max_input_tokens,
        "max_input_length": model.max_input_tokens,
        "max_batch_tokens": settings.max_batch_tokens,
        "max_batch_requests": None,
        "max_client_batch_size": settings.max_inputs,
        "auto_truncate": True,
        "tokenization_workers": settings.cores(),
        "version": gateways.__version__,
        "sha": None,
        "docker_label": None,
    }


def headers(model: ModelInfo, times: Timings, characters: int, tokens: int) -> dict[str, str]:
    """Return the headers by which TEI tells what an answer cost; times in whole milliseconds."""
    total_ms = times.tokenize_ms + times.queue_ms + times.infer_ms
    return {
        "x-compute-type": model.device,
        "x-compute-time": f"{total_ms:.0f}",
        "x-compute-characters": f"{characters}",
        "x-compute-tokens": f"{tokens}",
        "x-total-time": f"{total_ms:.0f}",
        "x-tokenization-time": f"{times.tokenize_ms:.0f}",
        "x-queue-time": f"{times.queue_ms:.0f}",
        "x-inference-time": f"{times.infer_ms:.0f}",
    }


def characters(value: Any) -> int:
    """Count the characters of inputs that were read; a token id counts as one, as it does in TEI."""
    nested = isinstance(value, list) and isinstance(value[0], str | list)
    return sum(map(len, value)) if nested else len(value)
