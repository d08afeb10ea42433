"""How a dense search with a filter is answered: from the passages that match, or from the best of all passages."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import qdrant_edge as qdrant

from gateways.core.stores.edge import queries
from gateways.core.stores.edge.filter import translate
from gateways.core.stores.filters import Condition, Join, list_tests

# Enough candidates hold 2k + 16 matches on average, and some more.
_SAFETY, _SAFETY_MARGIN = 1.3, 8
# Times in units of one passage scored in the order of memory, 0.045 µs: to find and test a passage by an index, and
# to find, score and test one of the best candidates.
_TEST_COST, _CANDIDATE_COST = 8, 110
_MAX_ESTIMATES = 256
# Estimates are made anew once the number of passages has changed by an eighth.
_STALE = 8


class _Estimate(NamedTuple):
    """Numbers of passages: in the collection, those that match, and those that indexes yield to find the matches."""

    passages: int
    matches: int
    visits: int


class FilterPlans:
    """
    Plans the filters of one collection. It remembers its estimates, which take 0.1 ms each.

    An estimate decides about time only. A search that misses matches by it is answered in the other way.
    """

    def __init__(self, engine: qdrant.EdgeShard) -> None:
        self._engine = engine
        self._estimates: OrderedDict[Condition, _Estimate] = OrderedDict()

    def count_candidates(self, condition: Condition, k: int, passages: int) -> int:
        """Return how many of the best of all passages to test, 0 if only passages that match are to be scored."""
        estimate = self._estimate(condition, passages)
        candidates = int(_SAFETY * queries.count_candidates(k) * passages / max(1, estimate.matches)) + _SAFETY_MARGIN
        tests = sum(1 for _ in list_tests(condition))
        is_broad = _TEST_COST * tests * estimate.visits > passages + _CANDIDATE_COST * candidates
        return candidates if is_broad else 0

    def _estimate(self, condition: Condition, passages: int) -> _Estimate:
        # Searches run in several threads, so an estimate is taken out and put back.
        estimate = self._estimates.pop(condition, None)
        if estimate is None or abs(passages - estimate.passages) * _STALE > passages:
            estimate = _Estimate(passages, self._count(condition), self._count_visits(condition, passages))
        self._estimates[condition] = estimate
        if len(self._estimates) > _MAX_ESTIMATES:
            self._estimates.popitem(last=False)
        return estimate

    def _count(self, condition: Condition) -> int:
        return self._engine.count(queries.estimate(translate(condition)))

    def _count_visits(self, condition: Condition, passages: int) -> int:
        """Return how many passages indexes yield: of `and` the engine takes the narrowest part alone."""
        if not isinstance(condition, Join):
            return self._count(condition)
        if condition.how == "not":
            return passages
        visits = [self._count_visits(part, passages) for part in condition.parts]
        return min(visits) if condition.how == "and" else sum(visits)
