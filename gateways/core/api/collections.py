"""`/v1/collections`: retrieval profiles. A collection has models of its own, and a way of being searched."""

from __future__ import annotations

import re
from dataclasses import fields
from math import isfinite
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Request, Response
from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from gateways.core.api.body import JsonRoute, Strict, json_response
from gateways.core.api.collection import NAME, PATTERN, Chunk
from gateways.core.backend import Kind, ModelInfo
from gateways.core.errors import GatewayError, InvalidRequest, NotFound
from gateways.core.fusion import FITTED, FUSIONS, Fusion, Weights
from gateways.core.gateway import Gateway
from gateways.core.profiles import TOP_K, Profile, check_chunking
from gateways.core.stores.base import Collection

# Written out, because a body's route takes no other parameters.
_NAME = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "pattern": PATTERN}}


def _fusion_or_weights(value: Any) -> Any:
    if value in get_args(FUSIONS):
        return value
    names = {field.name for field in fields(Weights)}
    if isinstance(value, dict) and value and value.keys() <= names and all(map(_is_number, value.values())):
        return Weights(**value)
    raise PydanticCustomError("fusion", "must be rrf, scores, or numbers by the names bias, dense, sparse, late")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


_FUSION = {
    "anyOf": [
        {"type": "string", "enum": list(get_args(FUSIONS))},
        {
            "type": "object",
            "properties": {field.name: {"type": "number"} for field in fields(Weights)},
            "additionalProperties": False,
            "minProperties": 1,
        },
        {"type": "null"},
    ],
    "default": None,
}
FusionField = Annotated[Any, AfterValidator(_fusion_or_weights), WithJsonSchema(_FUSION)]


class ProfileRequest(Strict):
    """How a collection is searched. What is not given takes its default; the two vectors' models stay as they are."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"top_k": 8, "chunk": {"max_tokens": 128, "overlap": 16}}]}
    )

    embedding_model: str | None = Field(None, description="Dense model, by id or alias; a new one's is the default.")
    sparse_model: str | None = Field(None, description="Sparse model, by id or alias; a new one's is bm25.")
    reranker_model: str | None = Field(None, description="Reranks every search that does not say otherwise.")
    top_k: int = Field(TOP_K, ge=1, le=1_000, description="Results of a search that does not say how many.")
    chunk: Chunk | None = Field(None, description="Cuts every ingest that does not say otherwise; null: not at all.")
    late_interaction: bool | None = Field(
        None,
        description="Store the vectors of tokens too, so that `rerank: true` costs milliseconds; "
        "when not given, a new one does where its model can.",
    )
    fusion: FusionField = Field(
        None,
        description="How rankings become one: rrf (by ranks), scores (by weights fitted for its model), or weights "
        "of your own; when not given, two rankings are fused by ranks and reranked passages by scores.",
        examples=["scores", {"bias": -9, "dense": 3, "sparse": 0.08, "late": 9}],
    )


class CollectionAnswer(Strict):
    """A collection, its models by their ids."""

    object: str
    name: str
    embedding_model: str
    dimensions: int
    sparse_model: str
    reranker_model: str | None
    top_k: int
    chunk: Chunk | None
    late_interaction: bool
    fusion: Annotated[Any, WithJsonSchema(_FUSION)]
    document_count: int


def router(gateway: Gateway) -> APIRouter:
    """Return the routes over `gateway`."""
    routes = APIRouter(route_class=JsonRoute, tags=["collections"])

    @routes.put(
        "/v1/collections/{name}",
        response_model=CollectionAnswer,
        responses={201: {"model": CollectionAnswer, "description": "Made"}},
        openapi_extra={"parameters": [_NAME]},
    )
    async def put(request: Request, body: ProfileRequest) -> Response:
        """Make a collection (201), or change how it is searched. 409: its documents were embedded with others."""
        name = request.path_params["name"]
        if not re.fullmatch(PATTERN, name):
            raise InvalidRequest("name must be 1 to 64 letters, digits, - or _.", param="name")
        made = await gateway.put(name, _profile(gateway, await gateway.profile(name), body))
        return json_response(_described(await gateway.collection(name, counts=True)), 201 if made else 200)

    @routes.get("/v1/collections")
    async def collections() -> Response:
        """List the collections by name."""
        found = [_described(collection) for collection in await gateway.collections()]
        return json_response({"object": "list", "data": found})

    @routes.get("/v1/collections/{name}", response_model=CollectionAnswer)
    async def one_collection(name: NAME) -> Response:
        """Tell how a collection is searched, and how many documents it holds."""
        return json_response(_described(await _found(gateway, name)))

    @routes.delete("/v1/collections/{name}")
    async def delete_collection(name: NAME) -> Response:
        """Forget a collection with all its documents, and cancel its jobs; `default` is there again, empty."""
        if not await gateway.forget(name):
            await _found(gateway, name)
        return json_response({"name": name, "object": "collection", "deleted": True})

    return routes


def _profile(gateway: Gateway, now: Profile, body: ProfileRequest) -> Profile:
    """Check a profile and fill in what it leaves to the collection as it is, or to the gateway."""
    dense = _model(gateway, body.embedding_model or now.embedding_model, "dense", "embedding_model")
    sparse = _model(gateway, body.sparse_model or now.sparse_model, "sparse", "sparse_model")
    reranker = _model(gateway, body.reranker_model, "rerank", "reranker_model") if body.reranker_model else None
    if body.chunk:
        check_chunking(body.chunk.chunking(), dense)
    return Profile(
        embedding_model=dense.id,
        dimensions=dense.dimensions,
        sparse_model=sparse.id,
        reranker_model=reranker.id if reranker else None,
        top_k=body.top_k,
        chunk=body.chunk.chunking() if body.chunk else None,
        late_interaction=_late_interaction(gateway, now, dense, body.late_interaction),
        fusion=_fusion(body.fusion, dense),
    )


def _late_interaction(gateway: Gateway, now: Profile, dense: ModelInfo, wanted: bool | None) -> bool:
    """Return whether tokens are stored: as asked, or as they are, or, for another model, where they can be."""
    if wanted is None and dense.id == now.embedding_model:
        return now.late_interaction
    possible = gateway.interaction(dense.id) is not None
    if wanted and not possible:
        raise InvalidRequest(
            f"late_interaction: no reranker here compares the tokens of {dense.id}; send false, or another model.",
            param="late_interaction",
        )
    return possible and (gateway.settings.late_interaction if wanted is None else wanted)


def _fusion(wanted: Fusion | None, dense: ModelInfo) -> Fusion | None:
    if wanted == "scores" and dense.id not in FITTED:
        raise InvalidRequest(
            f"fusion: no weights are fitted for {dense.id}, only for {', '.join(FITTED)}; send rrf or other weights.",
            param="fusion",
        )
    return wanted


def _model(gateway: Gateway, name: str, kind: Kind, field: str) -> ModelInfo:
    try:
        return gateway.model(name, kind)
    except GatewayError as error:
        error.param = field
        raise


async def _found(gateway: Gateway, name: str) -> Collection:
    try:
        return await gateway.collection(name, counts=True)
    except NotFound as error:
        error.param = "name"
        raise


def _described(collection: Collection) -> dict[str, Any]:
    profile = collection.profile
    return {
        "object": "collection",
        "name": collection.name,
        "embedding_model": profile.embedding_model,
        "dimensions": profile.dimensions,
        "sparse_model": profile.sparse_model,
        "reranker_model": profile.reranker_model,
        "top_k": profile.top_k,
        "chunk": profile.chunk,
        "late_interaction": profile.late_interaction,
        "fusion": profile.fusion,
        "document_count": collection.documents,
    }
