"""`/v1/collections`: collections and their retrieval profiles."""

from __future__ import annotations

import re
from dataclasses import fields
from math import isfinite
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Request, Response
from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from gateways.core.api.collection_fields import NAME, PATTERN, Chunk
from gateways.core.backend import Kind, ModelInfo
from gateways.core.errors import GatewayError, InvalidRequest, NotFound
from gateways.core.gateway import Gateway
from gateways.core.http.json_route import JsonRoute, json_response
from gateways.core.http.schemas import Strict
from gateways.core.profiles import TOP_K, Profile, check_chunking
from gateways.core.scoring.fusion import FITTED, FUSIONS, Fusion, Weights
from gateways.core.stores.base import Collection
from gateways.core.vector_source import VectorSource, source_of

# Written out, because the route of a JSON body declares no other parameters.
_NAME_PARAMETER = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "pattern": PATTERN}}


def _parse_fusion(value: Any) -> Any:
    if value in get_args(FUSIONS):
        return value
    names = {field.name for field in fields(Weights)}
    if isinstance(value, dict) and value and value.keys() <= names and all(map(_is_number, value.values())):
        return Weights(**value)
    raise PydanticCustomError("fusion", "must be rrf, scores, or numbers by the names bias, dense, sparse, late")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


_FUSION_SCHEMA = {
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
FusionField = Annotated[Any, AfterValidator(_parse_fusion), WithJsonSchema(_FUSION_SCHEMA)]


class ProfileRequest(Strict):
    """The profile of a collection. A missing field takes its default; a missing vector model stays as it is."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"top_k": 8, "chunk": {"max_tokens": 128, "overlap": 16}}]}
    )

    embedding_model: str | None = Field(
        None, description="Dense model, by id or alias. Default of a new collection: the default model."
    )
    sparse_model: str | None = Field(
        None, description="Sparse model, by id or alias. Default of a new collection: bm25."
    )
    reranker_model: str | None = Field(None, description="Reranker of searches without `rerank`. Default: none.")
    top_k: int = Field(TOP_K, ge=1, le=1_000, description="Number of results of searches without `top_k`.")
    chunk: Chunk | None = Field(None, description="Chunking of ingests without `chunk`. Null: documents are not cut.")
    late_interaction: bool | None = Field(
        None,
        description="Store token vectors too, so that `rerank: true` costs milliseconds. "
        "Default of a new collection: true if a reranker compares the tokens of its model.",
    )
    fusion: FusionField = Field(
        None,
        description="How rankings are fused: rrf (by ranks), scores (by weights fitted for the model), or your own "
        "weights. Default: rrf for two rankings, scores for reranked passages.",
        examples=["scores", {"bias": -9, "dense": 3, "sparse": 0.08, "late": 9}],
    )


class CollectionAnswer(Strict):
    """A collection, with its models by id."""

    object: str
    name: str
    embedding_model: str
    dimensions: int
    sparse_model: str
    reranker_model: str | None
    top_k: int
    chunk: Chunk | None
    late_interaction: bool
    fusion: Annotated[Any, WithJsonSchema(_FUSION_SCHEMA)]
    vector_source: VectorSource | None = Field(
        description="What made the stored vectors, beside the models. Null, here or in it: not known."
    )
    document_count: int


def router(gateway: Gateway) -> APIRouter:
    """Return the routes of collections."""
    routes = APIRouter(route_class=JsonRoute, tags=["collections"])

    @routes.put(
        "/v1/collections/{name}",
        response_model=CollectionAnswer,
        responses={201: {"model": CollectionAnswer, "description": "Made"}},
        openapi_extra={"parameters": [_NAME_PARAMETER]},
    )
    async def put(request: Request, body: ProfileRequest) -> Response:
        """Create a collection (201) or change its profile (200). 409: its documents have vectors of other models."""
        name = _check_name(request.path_params["name"])
        created = await gateway.ingest.put_collection(name, _read_profile(gateway, await gateway.profile(name), body))
        return json_response(_collection_body(await gateway.collection(name, counts=True)), 201 if created else 200)

    @routes.get("/v1/collections")
    async def collections() -> Response:
        """List the collections by name."""
        bodies = [_collection_body(collection) for collection in await gateway.collections()]
        return json_response({"object": "list", "data": bodies})

    @routes.get("/v1/collections/{name}", response_model=CollectionAnswer)
    async def one_collection(name: NAME) -> Response:
        """Return the profile of a collection, and its number of documents."""
        return json_response(_collection_body(await _find_collection(gateway, name)))

    @routes.delete("/v1/collections/{name}")
    async def delete_collection(name: NAME) -> Response:
        """Delete a collection with its documents, and cancel its jobs. `default` is created again, empty."""
        if not await gateway.ingest.delete_collection(name):
            await _find_collection(gateway, name)
        return json_response({"name": name, "object": "collection", "deleted": True})

    return routes


def _check_name(name: str) -> str:
    if not re.fullmatch(PATTERN, name):
        raise InvalidRequest("name must be 1 to 64 letters, digits, - or _.", param="name")
    return name


def _read_profile(gateway: Gateway, current: Profile, body: ProfileRequest) -> Profile:
    """Return the requested profile; its missing models are those of the `current` one. Raises InvalidRequest."""
    dense = _find_model(gateway, body.embedding_model or current.embedding_model, "dense", "embedding_model")
    sparse = _find_model(gateway, body.sparse_model or current.sparse_model, "sparse", "sparse_model")
    reranker = _find_model(gateway, body.reranker_model, "rerank", "reranker_model") if body.reranker_model else None
    if body.chunk:
        check_chunking(body.chunk.chunking(), dense)
    return Profile(
        embedding_model=dense.id,
        dimensions=dense.dimensions,
        sparse_model=sparse.id,
        reranker_model=reranker.id if reranker else None,
        top_k=body.top_k,
        chunk=body.chunk.chunking() if body.chunk else None,
        late_interaction=_read_late_interaction(gateway, current, dense, body.late_interaction),
        fusion=_read_fusion(body.fusion, dense),
        vector_source=source_of(dense, sparse),
    )


def _read_late_interaction(gateway: Gateway, current: Profile, dense: ModelInfo, requested: bool | None) -> bool:
    """Return whether token vectors are stored. By default: as now, or for another model, if it has a reranker."""
    if requested is None and dense.id == current.embedding_model:
        return current.late_interaction
    possible = gateway.interaction(dense.id) is not None
    if requested and not possible:
        raise InvalidRequest(
            f"late_interaction: no reranker here compares the tokens of {dense.id}; send false, or another model.",
            param="late_interaction",
        )
    return possible and (gateway.settings.late_interaction if requested is None else requested)


def _read_fusion(requested: Fusion | None, dense: ModelInfo) -> Fusion | None:
    if requested == "scores" and dense.id not in FITTED:
        raise InvalidRequest(
            f"fusion: no weights are fitted for {dense.id}, only for {', '.join(FITTED)}; send rrf or other weights.",
            param="fusion",
        )
    return requested


def _find_model(gateway: Gateway, name: str, kind: Kind, field: str) -> ModelInfo:
    try:
        return gateway.model(name, kind)
    except GatewayError as error:
        error.param = field
        raise


async def _find_collection(gateway: Gateway, name: str) -> Collection:
    try:
        return await gateway.collection(name, counts=True)
    except NotFound as error:
        error.param = "name"
        raise


def _collection_body(collection: Collection) -> dict[str, Any]:
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
        "vector_source": profile.vector_source,
        "document_count": collection.documents,
    }
