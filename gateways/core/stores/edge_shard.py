"""The engine's shard of a collection: how it keeps vectors, and what it has an index of."""

from __future__ import annotations

from pathlib import Path

import orjson
import qdrant_edge as qdrant

from gateways.core.profiles import Profile
from gateways.core.stores import edge_points as points
from gateways.core.stores.payloads import INDEXED

_FOLDER, _CONFIG = "shard", "edge_config.json"
# Files are laid out in steps of 32 MiB: a start would otherwise read all of each in, the part without vectors too.
_ON_DEMAND = qdrant.Memory.Cold
_FOUR_BITS = qdrant.VectorStorageDatatype.Turbo4  # type: ignore[attr-defined]  # the stubs forgot it


def create(path: Path, profile: Profile, threads: int) -> qdrant.EdgeShard:
    """Make the shard of a collection's folder."""
    shard = qdrant.EdgeShard.create(str(path / _FOLDER), _config(profile, threads, coarse=True))
    for field in INDEXED:
        shard.update(qdrant.UpdateOperation.create_field_index(field, qdrant.PayloadSchemaType.Keyword))
    shard.flush()
    return shard


def load(path: Path, profile: Profile, threads: int) -> qdrant.EdgeShard:
    """Open the shard of a collection's folder."""
    return qdrant.EdgeShard.load(str(path / _FOLDER), _config(profile, threads, coarse=has_coarse(path)))


def has_coarse(path: Path) -> bool:
    """Whether dense vectors are there in 4 bits as well; an earlier version did not write those."""
    return points.COARSE in orjson.loads((path / _FOLDER / _CONFIG).read_bytes())["vectors"]


def _config(profile: Profile, threads: int, *, coarse: bool) -> qdrant.EdgeConfig:
    modifier = qdrant.Modifier.Idf if profile.idf else None
    dimensions, cosine = profile.dimensions, qdrant.Distance.Cosine
    vectors = {points.DENSE: qdrant.EdgeVectorParams(dimensions, cosine, memory=_ON_DEMAND)}
    if coarse:
        vectors[points.COARSE] = qdrant.EdgeVectorParams(dimensions, cosine, datatype=_FOUR_BITS, memory=_ON_DEMAND)
    if profile.late_interaction:
        # Never searched but among a few passages.
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
        # No log of its own: what was not flushed yet is written again from the job journal, and deletes flush.
        wal_enabled=False,
    )
