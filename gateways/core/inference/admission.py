"""Admission control: refuse a request at once if the queue is too long, instead of answering it too late."""

from __future__ import annotations

import math
from functools import lru_cache

from gateways.core.errors import Overloaded
from gateways.core.inference.throughput import Throughput

# The share of a request's deadline that the work ahead of it may take. The pass with the request takes about as long
# once more, and the rest is for everything but the model.
WAITING_SHARE = 0.4


class AdmissionControl:
    """
    Load shedding for one queue: a request is admitted, or refused with 429 and Retry-After.

    A request is refused if the queue would hold more than `max_queued` with it, or if the work ahead of it takes
    longer than `max_wait_s`. An empty queue admits every request. Without a deadline, up to `pass_size` of work ahead
    is never too much, because it is done in one forward pass. No wait is too long before the first measurement of
    `throughput`. The work ahead may take `waiting_share` of a deadline.

    Sizes are in `unit`. `unit` and `service` are words of the error message. `throughput` is that of the work ahead,
    `total_throughput` that of the whole queue, if they differ.
    """

    def __init__(
        self,
        *,
        unit: str,
        service: str,
        max_queued: int,
        max_wait_s: float,
        pass_size: int,
        throughput: Throughput,
        total_throughput: Throughput | None = None,
        waiting_share: float = WAITING_SHARE,
    ) -> None:
        self._unit = unit
        self._service = service
        self._max_queued = max_queued
        self._max_wait_s = max_wait_s
        self._pass_size = pass_size
        self._throughput = throughput
        self._total_throughput = total_throughput or throughput
        self._waiting_share = waiting_share

    def refusal(
        self, size: int, *, queued: int, ahead: int | None = None, within_s: float = math.inf
    ) -> Overloaded | None:
        """
        Return the error that refuses a request of `size`, None if the request is admitted.

        `queued` is the size of the queue; `ahead` is the part of it that runs before the request, all by default.
        A request with a deadline of `within_s` may wait for its share of it. The deadline is negative if the
        request has waited for longer than it may before it was read.
        """
        if within_s < 0:
            return _overloaded(
                "the request has waited for longer than it may", self._total_throughput.seconds_for(queued)
            )
        if not queued:
            return None
        if queued + size > self._max_queued:
            reason = f"{queued} {self._unit} wait for {self._service} already and {self._max_queued} may"
            return _overloaded(reason, self._total_throughput.seconds_for(queued))
        ahead = queued if ahead is None else ahead
        max_wait_s = min(self._max_wait_s, self._waiting_share * within_s)
        never_too_much = self._pass_size if within_s == math.inf else 0
        if ahead > max(self._throughput.amount_within(max_wait_s), never_too_much):
            reason = _tell_wait(round(10 * ahead / self._throughput.per_s), self._service, max_wait_s)
            return _overloaded(reason, self._throughput.seconds_for(ahead))
        return None


@lru_cache(maxsize=256)
def _tell_wait(tenths: int, service: str, max_wait_s: float) -> str:
    return f"a request would wait {tenths / 10:.1f} s for {service} and {max_wait_s:g} s is the most"


def _overloaded(reason: str, retry_after_s: int) -> Overloaded:
    return Overloaded(f"{reason}; retry later", retry_after_s=retry_after_s)
