"""The engine's shard of a collection: its life cycle, its calls, and the layout of its vectors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import orjson
import qdrant_edge as qdrant

from gateways.core.host.thread_priority import in_background
from gateways.core.profiles import Profile
from gateways.core.stores.base import CollectionDamaged, CollectionGone
from gateways.core.stores.edge import points
from gateways.core.stores.payloads import INDEXED

T = TypeVar("T")

# Points per call of the engine.
POINTS_PER_CALL = 256

_FOLDER, _CONFIG = "shard", "edge_config.json"
# The engine allocates files in steps of 32 MiB. Any other setting reads all of each at start, the empty part too.
_ON_DEMAND = qdrant.Memory.Cold
_FOUR_BITS = qdrant.VectorStorageDatatype.Turbo4  # type: ignore[attr-defined]  # the stubs forgot it


class Shard:
    """The shard of a collection. Its calls raise CollectionGone once the collection is deleted."""

    def __init__(self, path: Path, engine: qdrant.EdgeShard) -> None:
        """`path` is the folder of the collection."""
        self.engine = engine
        self.has_coarse = has_coarse(path)
        self.is_open = True
        self._collection = path.name

    @property
    def point_count(self) -> int:
        """Return the number of points, one for each passage."""
        count: int = self.engine.info().points_count
        return count

    def count_documents(self) -> int:
        """Return the number of documents: of points, less the continuations."""
        request = qdrant.CountRequest(exact=True, filter=qdrant.Filter(must=[*points.CONTINUATIONS]))
        return self.point_count - self.engine.count(request)

    def require_open(self) -> None:
        """Raise CollectionGone if the collection was deleted."""
        if not self.is_open:
            raise self._gone()

    async def call(self, work: Callable[..., T], *values: Any, background: bool = False) -> T:
        """Return the result of `work`, run in a thread, at low priority with `background`."""
        self.require_open()
        try:
            return await (in_background if background else asyncio.to_thread)(work, *values)
        except Exception:
            if not self.is_open:
                raise self._gone() from None
            raise

    async def scroll(
        self,
        condition: qdrant.Filter,
        with_vector: bool = False,
        with_payload: bool | list[str] = True,
        limit: int | None = None,
    ) -> list[qdrant.Record]:
        """Return all points that match; with `limit`, read no further page once there are that many."""
        records: list[qdrant.Record] = []
        offset: Any = None
        while True:
            request = qdrant.ScrollRequest(
                offset=offset,
                limit=POINTS_PER_CALL,
                filter=condition,
                with_payload=with_payload,
                with_vector=with_vector,
            )
            page, offset = await self.call(self.engine.scroll, request)
            records += page
            if offset is None or (limit and len(records) >= limit):
                return records

    async def retire(self) -> None:
        """Close for good, because the collection is being deleted."""
        self.is_open = False
        await asyncio.to_thread(self.engine.close)

    def _gone(self) -> CollectionGone:
        return CollectionGone(f"collection {self._collection!r} was deleted meanwhile.", param="collection")


def create(path: Path, profile: Profile, threads: int) -> Shard:
    """Create the shard in the folder of a collection."""
    engine = qdrant.EdgeShard.create(str(path / _FOLDER), _config(profile, threads, coarse=True))
    for field in INDEXED:
        engine.update(qdrant.UpdateOperation.create_field_index(field, qdrant.PayloadSchemaType.Keyword))
    engine.flush()
    return Shard(path, engine)


def load(path: Path, profile: Profile, threads: int) -> Shard:
    """Open the shard in the folder of a collection. Raises CollectionDamaged."""
    try:
        config = _config(profile, threads, coarse=has_coarse(path))
        shard = Shard(path, qdrant.EdgeShard.load(str(path / _FOLDER), config))
        shard.count_documents()
    except BaseException as error:
        # A panic of the engine is no Exception, and its class cannot be imported.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise CollectionDamaged(path.name, f"{type(error).__name__}: {error}") from None
    return shard


def has_coarse(path: Path) -> bool:
    """Return whether the dense vectors are stored in 4 bits as well. An earlier version did not write those."""
    return points.COARSE in orjson.loads((path / _FOLDER / _CONFIG).read_bytes())["vectors"]


def _config(profile: Profile, threads: int, *, coarse: bool) -> qdrant.EdgeConfig:
    modifier = qdrant.Modifier.Idf if profile.idf else None
    dimensions, cosine = profile.dimensions, qdrant.Distance.Cosine
    vectors = {points.DENSE: qdrant.EdgeVectorParams(dimensions, cosine, memory=_ON_DEMAND)}
    if coarse:
        vectors[points.COARSE] = qdrant.EdgeVectorParams(dimensions, cosine, datatype=_FOUR_BITS, memory=_ON_DEMAND)
    if profile.late_interaction:
        # Token vectors only rescore chosen passages.
        vectors[points.LATE] = qdrant.EdgeVectorParams(
            dimensions,
            qdrant.Distance.Dot,
            multivector_config=qdrant.MultiVectorConfig(qdrant.MultiVectorComparator.MaxSim),
            datatype=_FOUR_BITS,
            memory=_ON_DEMAND,
        )
    return qdrant.EdgeConfig(
        vectors=vectors,
        sparse_vectors={points.SPARSE: qdrant.EdgeSparseVectorParams(modifier=modifier)},
        max_search_threads=threads,
        # No write-ahead log: the job journal replays writes that were not flushed, and a delete flushes.
        wal_enabled=False,
    )
