"""Batch queued requests for vectors into shared calls to an embed service."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateways.core.backend import Embeddings, EncodeOptions, Inputs, TokenIds
from gateways.core.errors import GatewayError, InvalidRequest, ModelFailed, ModelHung, TooLarge, UpstreamFailed
from gateways.split.gateway.connection_errors import ConnectionBroken
from gateways.split.gateway.crash_log import CrashLog
from gateways.split.gateway.deadline import Deadline

# Per replica: one call computes while the next one is collected. More calls would only split the batches.
CALLS_IN_FLIGHT = 2
TEXTS_PER_CALL = 64
# Errors of a shared call that the input of a single request may have caused.
_CAUSED_BY_INPUT = (InvalidRequest, TooLarge, ModelFailed, UpstreamFailed, ConnectionBroken)


class Post(Protocol):
    """A call to an embed service."""

    async def __call__(
        self, inputs: Inputs, options: EncodeOptions, deadline: Deadline, *, shared: bool
    ) -> Embeddings:
        """Return the embeddings of one request, or of several if the call is `shared`. Raises GatewayError."""
        ...


@dataclass(eq=False, slots=True)
class _Entry:
    """A queued request: its inputs, and the future of its answer."""

    inputs: Sequence[str | TokenIds]
    answer: asyncio.Future[Embeddings]

    def content(self) -> bytes:
        """Return bytes that are equal when this request is made again."""
        return repr(self.inputs).encode()


class CallBatcher:
    """
    The calls for one kind of vectors of one model, in one lane.

    Requests with equal options share a call. If a shared call fails, each of its requests is sent alone, so that only
    the request that caused the error fails. The shared call and those after it have one deadline, `timeout_s` after
    the first one is sent.

    A shared call that breaks a connection may have killed the service. Its requests are then sent one after the
    other, because the guilty one would take the others with it. Each shares no call until it is answered.
    """

    def __init__(
        self,
        post: Post,
        *,
        timeout_s: float,
        rows_are_tokens: bool,
        max_inputs: int = TEXTS_PER_CALL,
        replica_count: int = 1,
    ) -> None:
        self._post = post
        self._timeout_s = timeout_s
        self._suspects = CrashLog()
        self._max_calls = CALLS_IN_FLIGHT * replica_count
        self._max_texts = min(TEXTS_PER_CALL, max_inputs)
        self._rows_are_tokens = rows_are_tokens
        self._queues: dict[EncodeOptions, deque[_Entry]] = {}
        self._calls: dict[asyncio.Task[None], list[_Entry]] = {}

    async def embed(self, inputs: Inputs, options: EncodeOptions) -> Embeddings:
        """Return the embeddings of `inputs`, cut out of the answer to a shared call. Raises GatewayError."""
        entry = _Entry(inputs, asyncio.get_running_loop().create_future())
        self._queues.setdefault(options, deque()).append(entry)
        self._start_call()
        try:
            return await entry.answer
        except asyncio.CancelledError:
            self._cancel_abandoned_calls()
            raise

    def _start_call(self) -> None:
        """Send the next batch if a call is free."""
        if self._queues and len(self._calls) < self._max_calls:
            batch, options = self._take_batch()
            call = asyncio.create_task(self._call(batch, options, Deadline(self._timeout_s)))
            self._calls[call] = batch
            call.add_done_callback(self._finish_call)

    def _finish_call(self, call: asyncio.Task[None]) -> None:
        del self._calls[call]
        self._start_call()

    def _cancel_abandoned_calls(self) -> None:
        """Cancel each call of which all requests were cancelled, so that the embed service can drop it."""
        for call, batch in self._calls.items():
            if all(entry.answer.cancelled() for entry in batch):
                call.cancel()

    def _take_batch(self) -> tuple[list[_Entry], EncodeOptions]:
        """Take the oldest requests of the first queue. If requests remain, the queue moves to the end."""
        options = next(iter(self._queues))
        queue = self._queues.pop(options)
        batch = [queue.popleft()]
        texts = len(batch[0].inputs)
        alone = self._is_suspect(batch[0])
        while (
            queue
            and not alone
            and not self._is_suspect(queue[0])
            and (texts := texts + len(queue[0].inputs)) <= self._max_texts
        ):
            batch.append(queue.popleft())
        if queue:
            self._queues[options] = queue
        return batch, options

    def _is_suspect(self, entry: _Entry) -> bool:
        return bool(self._suspects) and self._suspects.count(entry.content()) > 0

    async def _call(self, batch: list[_Entry], options: EncodeOptions, deadline: Deadline) -> None:
        batch = [entry for entry in batch if not entry.answer.done()]  # without cancelled requests
        if not batch:
            return
        inputs = [item for entry in batch for item in entry.inputs]
        try:
            answer = await self._post(inputs, options, deadline, shared=len(batch) > 1)
        except GatewayError as error:
            if len(batch) > 1 and isinstance(error, _CAUSED_BY_INPUT) and not isinstance(error, ModelHung):
                await self._call_each(batch, options, deadline, error)
            else:
                _settle_all(batch, error)
            return
        except Exception as bug:
            _settle_all(batch, bug)
            raise
        for entry, part in zip(batch, self._split_answer(answer, batch), strict=True):
            if self._suspects:
                self._suspects.forget(entry.content())
            _settle(entry, part)

    async def _call_each(
        self, batch: list[_Entry], options: EncodeOptions, deadline: Deadline, error: GatewayError
    ) -> None:
        """Send each request of a shared call alone, after the call failed with `error`."""
        if not isinstance(error, ConnectionBroken):
            await asyncio.gather(*(self._call([entry], options, deadline) for entry in batch))
            return
        for entry in batch:
            self._suspects.record(entry.content())
        for entry in batch:
            await self._call([entry], options, deadline)

    def _split_answer(self, answer: Embeddings, batch: list[_Entry]) -> Iterator[Embeddings]:
        """Yield the part of each request, in order."""
        text = row = 0
        times = {"tokenize_ms": answer.tokenize_ms, "queue_ms": answer.queue_ms, "infer_ms": answer.infer_ms}
        for entry in batch:
            counts = answer.token_counts[text : text + len(entry.inputs)]
            rows = sum(counts) if self._rows_are_tokens else len(counts)
            tokens = answer.tokens.part(text, len(counts)) if answer.tokens else None
            yield Embeddings(answer.vectors[row : row + rows], counts, tokens, **times)
            text, row = text + len(counts), row + rows


def _settle_all(batch: list[_Entry], error: Exception) -> None:
    for entry in batch:
        _settle(entry, error)


def _settle(entry: _Entry, outcome: Embeddings | Exception) -> None:
    if entry.answer.done():
        return
    if isinstance(outcome, Exception):
        entry.answer.set_exception(outcome)
    else:
        entry.answer.set_result(outcome)
