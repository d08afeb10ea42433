"""Requests that wait together travel together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from gateways.core.backend import Embeddings, Inputs, TokenIds, Truncate
from gateways.core.errors import GatewayError, InvalidRequest, ModelFailed, ModelHung, TooLarge, UpstreamFailed

# Of each service: one call computes there while the next is gathered here; more would only split the batches.
CALLS_IN_FLIGHT = 2
TEXTS_PER_CALL = 64
# Errors that one request's input may have brought on all that travelled with it.
_OF_ONE_INPUT = (InvalidRequest, TooLarge, ModelFailed, UpstreamFailed)

Post: TypeAlias = Callable[[Inputs, Truncate], Awaitable[Embeddings]]


@dataclass(eq=False, slots=True)
class _Waiting:
    inputs: Sequence[str | TokenIds]
    answered: asyncio.Future[Embeddings]


class Sharing:
    """
    The calls for one kind of vectors of one model, in one lane.

    Requests that are truncated alike share a call; an error of such a call is narrowed down by sending each alone.
    """

    def __init__(
        self, post: Post, *, rows_are_tokens: bool, most_inputs: int = TEXTS_PER_CALL, services: int = 1
    ) -> None:
        self._post = post
        self._most_calls = CALLS_IN_FLIGHT * services
        self._most = min(TEXTS_PER_CALL, most_inputs)
        self._rows_are_tokens = rows_are_tokens
        self._waiting: dict[Truncate, deque[_Waiting]] = {}
        self._calls: dict[asyncio.Task[None], list[_Waiting]] = {}

    async def embed(self, inputs: Inputs, truncate: Truncate) -> Embeddings:
        """Return this request's part of the answer to the call it travels with."""
        waiting = _Waiting(inputs, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(truncate, deque()).append(waiting)
        self._send_what_waits()
        try:
            return await waiting.answered
        except asyncio.CancelledError:
            self._give_up()
            raise

    def _send_what_waits(self) -> None:
        if self._waiting and len(self._calls) < self._most_calls:
            taken, truncate = self._take()
            call = asyncio.create_task(self._call(taken, truncate))
            self._calls[call] = taken
            call.add_done_callback(self._called)

    def _called(self, call: asyncio.Task[None]) -> None:
        del self._calls[call]
        self._send_what_waits()

    def _give_up(self) -> None:
        """Cancel the calls that nobody waits for any more: upstream they would be computed for nobody."""
        for call, taken in self._calls.items():
            if all(waiting.answered.cancelled() for waiting in taken):
                call.cancel()

    def _take(self) -> tuple[list[_Waiting], Truncate]:
        """Take the oldest requests of the kind that has its turn; what is left of them lines up behind the others."""
        truncate = next(iter(self._waiting))
        waiting = self._waiting.pop(truncate)
        taken = [waiting.popleft()]
        texts = len(taken[0].inputs)
        while waiting and (texts := texts + len(waiting[0].inputs)) <= self._most:
            taken.append(waiting.popleft())
        if waiting:
            self._waiting[truncate] = waiting
        return taken, truncate

    async def _call(self, taken: list[_Waiting], truncate: Truncate) -> None:
        taken = [waiting for waiting in taken if not waiting.answered.done()]  # the others were given up
        if not taken:
            return
        try:
            answer = await self._post([item for waiting in taken for item in waiting.inputs], truncate)
        except GatewayError as error:
            if len(taken) > 1 and isinstance(error, _OF_ONE_INPUT) and not isinstance(error, ModelHung):
                await asyncio.gather(*(self._call([waiting], truncate) for waiting in taken))
            else:
                for waiting in taken:
                    _settle(waiting, error)
            return
        except Exception as bug:
            for waiting in taken:
                _settle(waiting, bug)
            raise
        for waiting, part in zip(taken, self._parts(answer, taken), strict=True):
            _settle(waiting, part)

    def _parts(self, answer: Embeddings, taken: list[_Waiting]) -> Iterator[Embeddings]:
        text = row = 0
        times = {"tokenize_ms": answer.tokenize_ms, "queue_ms": answer.queue_ms, "infer_ms": answer.infer_ms}
        for waiting in taken:
            counts = answer.token_counts[text : text + len(waiting.inputs)]
            rows = sum(counts) if self._rows_are_tokens else len(counts)
            tokens = answer.tokens.part(text, len(counts)) if answer.tokens else None
            yield Embeddings(answer.vectors[row : row + rows], counts, tokens, **times)
            text, row = text + len(counts), row + rows


def _settle(waiting: _Waiting, outcome: Embeddings | Exception) -> None:
    if waiting.answered.done():
        return
    if isinstance(outcome, Exception):
        waiting.answered.set_exception(outcome)
    else:
        waiting.answered.set_result(outcome)
