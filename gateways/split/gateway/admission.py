"""Admission control of the thin gateway: two lanes, counted in characters."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from gateways.core.backend import Lane
from gateways.core.errors import Overloaded
from gateways.core.inference.admission import AdmissionControl
from gateways.core.inference.throughput import Throughput

# English has about four characters per token. This process has no tokenizer to count tokens with.
CHARACTERS_PER_TOKEN = 4
# The work ahead counts until it is answered, so that its time includes the pass that runs.
WAITING_SHARE = 0.75


class Backlog:
    """
    The characters of all requests that are at the embed service or wait for it, per lane.

    The limits are given in tokens. Their equivalents in characters are enforced.
    """

    def __init__(
        self, max_queue_tokens: int, max_batch_tokens: int, max_wait_s: float, max_bulk_wait_s: float
    ) -> None:
        self._queued: dict[Lane, int] = {"interactive": 0, "bulk": 0}
        # Queries go first: they wait for queries only, and get the whole throughput.
        self._throughput, self._bulk_throughput = Throughput(), Throughput()
        control = partial(
            AdmissionControl,
            unit="characters",
            service="the embed service",
            max_queued=max_queue_tokens * CHARACTERS_PER_TOKEN,
            # The throughput is low while the embed service loads a model for another request.
            pass_size=max_batch_tokens * CHARACTERS_PER_TOKEN,
            total_throughput=self._throughput,
            waiting_share=WAITING_SHARE,
        )
        self._admission: dict[Lane, AdmissionControl] = {
            "interactive": control(max_wait_s=max_wait_s, throughput=self._throughput),
            "bulk": control(max_wait_s=max_bulk_wait_s, throughput=self._bulk_throughput),
        }

    @contextmanager
    def holding(self, characters: int, lane: Lane) -> Iterator[None]:
        """Count `characters` as queued inside the context. Raises Overloaded if the request is refused."""
        if refused := self.refusal(lane, characters):
            raise refused
        if not any(self._queued.values()):
            self._throughput.resume()
        if lane == "bulk" and not self._queued["bulk"]:
            self._bulk_throughput.reset()  # it was measured beside other queries than those of now
        self._queued[lane] += characters
        try:
            yield
        finally:
            self._queued[lane] -= characters
            self._record_completion(characters, lane)

    def refusal(
        self, lane: Lane, characters: int = 0, within_s: float = math.inf, before: int = 0
    ) -> Overloaded | None:
        """
        Return the error that refuses a request of `characters`, None if the request is admitted.

        The request has a deadline of `within_s`. `before` counts characters that run before it and are not queued
        yet.
        """
        queued, ahead = sum(self._queued.values()) + before, self._queued[lane] + before
        return self._admission[lane].refusal(characters, queued=queued, ahead=ahead, within_s=within_s)

    def _record_completion(self, characters: int, lane: Lane) -> None:
        self._throughput.record_completion(characters)
        if not any(self._queued.values()):
            self._throughput.pause()
        if lane == "bulk":
            self._bulk_throughput.record_completion(characters)
            if not self._queued["bulk"]:
                self._bulk_throughput.pause()
