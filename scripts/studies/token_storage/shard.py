"""Token vectors in a shard of the embedded engine, as the gateways' edge store keeps them: build, measure, score."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import qdrant_edge as qdrant
from numpy.typing import NDArray

from gateways.core.backend import F32
from scripts.studies.token_storage.variants import BINARY, NO_CODES, ONE_BIT, RESCORED, Variant

Ints = NDArray[np.intp]
BATCH = 256
LATE = "late"
# Each question is scored REPEATS times and the fastest counts, because other work on the machine only adds time.
REPEATS = 3


def build(folder: Path, variant: Variant, vectors: Sequence[F32]) -> qdrant.EdgeShard:
    """Return a flushed shard with `vectors`, (tokens, d) each, as the edge store builds it. Point ids are indices."""
    codes: dict[str, Any] = {
        NO_CODES: None,
        ONE_BIT: qdrant.TurboQuantQuantizationConfig(bits=qdrant.TurboQuantBitSize.Bits1),
    }
    params = qdrant.EdgeVectorParams(
        vectors[0].shape[1],
        qdrant.Distance.Dot,
        multivector_config=qdrant.MultiVectorConfig(qdrant.MultiVectorComparator.MaxSim),
        datatype=getattr(qdrant.VectorStorageDatatype, variant.datatype),
        quantization_config=codes.get(variant.codes, qdrant.BinaryQuantizationConfig()),
        memory=qdrant.Memory.Cold,
    )
    config = qdrant.EdgeConfig(vectors={LATE: params}, max_search_threads=1, wal_enabled=False)
    shard = qdrant.EdgeShard.create(str(folder), config)
    points = [qdrant.Point(number, cast(Any, {LATE: rows}), {}) for number, rows in enumerate(vectors)]
    for start in range(0, len(points), BATCH):
        shard.update(qdrant.UpdateOperation.upsert_points(points[start : start + BATCH]))
    shard.flush()
    return shard


def stored_bytes(folder: Path) -> tuple[int, int]:
    """Return the bytes on disk of the token vectors, and of their codes among these. Sparse blocks do not count."""
    files = [file for part in folder.rglob(f"vector_*-{LATE}") for file in part.rglob("*") if file.is_file()]
    sizes = {file: file.stat().st_blocks * 512 for file in files}
    codes = (size for file, size in sizes.items() if "quantized" in str(file.relative_to(folder)))
    return sum(sizes.values()), sum(codes)


def score(shard: qdrant.EdgeShard, variant: Variant, question: F32, candidates: Ints) -> tuple[F32, float]:
    """
    Return the MaxSim of a question (t, d) with each candidate, divided by t, (n,), and the fastest run in ms.

    `candidates` (n,) are point ids.
    """
    quantised = qdrant.QuantizationSearchParams(rescore=variant.codes == RESCORED)
    request = qdrant.QueryRequest(
        limit=len(candidates),
        query=qdrant.Query.Nearest(cast(Any, question / np.float32(len(question))), using=LATE),
        filter=qdrant.Filter(must=[qdrant.HasIdCondition(set(candidates.tolist()))]),
        params=qdrant.SearchParams(quantization=quantised),
    )
    durations_ms = []
    for _ in range(REPEATS):
        started_s = time.perf_counter()
        points = shard.query(request)
        durations_ms.append((time.perf_counter() - started_s) * 1e3)
    scores_by_id = {point.id: point.score for point in points}
    scores = np.array([scores_by_id[point_id] for point_id in candidates.tolist()], np.float32)
    return estimate_cosines(scores, *question.shape) if variant.codes == BINARY else scores, min(durations_ms)


def estimate_cosines(binary_scores: F32, tokens: int, dimensions: int) -> F32:
    """
    Return the cosines that binary scores estimate, (n,). A score is the number of equal signs minus unequal ones.

    A share a / pi of the signs differs for vectors at an angle a (Charikar 2002). So the cosine is sin(pi s / 2) for
    a score s per token and dimension.
    """
    cosines: F32 = np.sin(np.pi / 2 * binary_scores / (tokens * dimensions)).astype(np.float32)
    return cosines
