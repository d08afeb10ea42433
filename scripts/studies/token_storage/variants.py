"""The variants of stored token vectors, the row of measurements of each, and the choice among them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

MAX_LOST_POINTS = 0.5
NOTHING, PUNCTUATION, COMMONEST = "nothing", "punctuation", "punctuation and common"
NO_CODES, BINARY, RESCORED, ONE_BIT = "none", "binary", "binary, rescored", "1 bit"


@dataclass(frozen=True)
class Variant:
    """`pooled` neighbours share a vector of `datatype`; `pruned` tokens are dropped; `codes` are read first."""

    pooled: int
    datatype: str
    pruned: str = NOTHING
    codes: str = NO_CODES

    @property
    def name(self) -> str:
        """Return the name for tables."""
        without = "" if self.pruned == NOTHING else f", no {self.pruned}"
        return f"pool {self.pooled}, {self.encoding}{without}"

    @property
    def encoding(self) -> str:
        """Return the datatype, with the codes if there are any."""
        return self.datatype if self.codes == NO_CODES else f"{self.datatype} + {self.codes}"


UNCOMPRESSED = Variant(1, "Float16")
DEFAULT = Variant(1, "Turbo4")
VARIANTS = (
    UNCOMPRESSED,
    *(Variant(pooled, datatype) for datatype in ("Turbo8", "Turbo4") for pooled in (1, 2, 3, 4)),
    Variant(1, "Turbo8", PUNCTUATION),
    Variant(1, "Turbo4", PUNCTUATION),
    Variant(1, "Turbo8", COMMONEST),
    Variant(2, "Turbo8", COMMONEST),
    Variant(2, "Turbo4", COMMONEST),
    Variant(1, "Turbo8", codes=RESCORED),
    Variant(1, "Turbo8", codes=BINARY),
    Variant(2, "Turbo8", codes=BINARY),
    Variant(1, "Turbo8", codes=ONE_BIT),
)


@dataclass(frozen=True)
class Row:
    """
    The measurements of one variant on one corpus. A kB is 1000 bytes. `read_kb` counts the files that scoring reads.

    `scoring_p50_ms` is the time for all candidates of a question. nDCG@10 is 0..1. `lost_points` is the mean loss of
    fused nDCG@10 against UNCOMPRESSED for the same questions, in points of 100; `low`, `high` is its 95 % interval.
    """

    corpus: str
    passages: int
    questions: int
    pooled: int
    datatype: str
    pruned: str
    codes: str
    vectors_per_passage: float
    stored_kb_per_passage: float
    read_kb_per_passage: float
    scoring_p50_ms: float
    late_ndcg10: float
    fused_ndcg10: float
    lost_points: float
    lost_points_low: float
    lost_points_high: float

    @property
    def variant(self) -> Variant:
        """Return the variant of this row."""
        return Variant(self.pooled, self.datatype, self.pruned, self.codes)


def select_smallest(rows: Sequence[Row], aggregate: Callable[[list[float]], float]) -> Variant:
    """
    Return the variant with the fewest bytes on disk whose loss is at most MAX_LOST_POINTS.

    `aggregate` makes one loss of those of all corpora, for instance `max`.
    """
    sizes: dict[Variant, float] = {}
    for variant in {row.variant: None for row in rows}:
        variant_rows = [row for row in rows if row.variant == variant]
        if aggregate([row.lost_points for row in variant_rows]) <= MAX_LOST_POINTS:
            sizes[variant] = float(np.mean([row.stored_kb_per_passage for row in variant_rows]))
    return min(sizes, key=lambda variant: sizes[variant])
