"""How many points fit into one call: a server takes 32 MiB of JSON, and 1,048,576 values of token vectors a point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateways.core.profiles import Profile
from gateways.core.stores.base import Passage, Vectors
from gateways.core.stores.qdrant.connection import POINTS_PER_CALL

MAX_CALL_BYTES = 16_000_000
MAX_LATE_VALUES = 1_000_000
# A float16 or float32 number as JSON has 21 characters at most, and the comma.
BYTES_PER_VALUE = 22
# Characters are escaped to six bytes at most, and a text is in the payload once, its metadata beside it.
BYTES_PER_CHARACTER = 6
# Most token vectors of a passage that reads expect; a passage may have more.
TOKENS_PER_PASSAGE = 512


def split_by_size(passages: Sequence[Passage], vectors: Sequence[Vectors]) -> Iterator[tuple[int, int]]:
    """Yield the slices (start, end) of n points that fit into a call. A slice has at least one point."""
    start, size = 0, 0
    for number, (passage, row) in enumerate(zip(passages, vectors, strict=True)):
        point = _point_bytes(passage, row)
        if number > start and (size + point > MAX_CALL_BYTES or number - start == POINTS_PER_CALL):
            yield start, number
            start, size = number, 0
        size += point
    if start < len(passages):
        yield start, len(passages)


def points_per_read(profile: Profile) -> int:
    """Return how many points with their vectors an answer may have."""
    values = profile.dimensions * (1 + TOKENS_PER_PASSAGE * profile.late_interaction)
    return max(1, min(POINTS_PER_CALL, MAX_CALL_BYTES // (BYTES_PER_VALUE * values)))


def _point_bytes(passage: Passage, row: Vectors) -> int:
    values = row.dense.size + 2 * row.sparse.values.size + (0 if row.late is None else row.late.size)
    characters = len(passage.text) + len(passage.before) + len(passage.after) + len(str(passage.metadata))
    return int(values * BYTES_PER_VALUE + characters * BYTES_PER_CHARACTER)
