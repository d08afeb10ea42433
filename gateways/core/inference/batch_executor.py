"""Execution of batches on worker threads, with bisection of a batch that fails."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from gateways.core.errors import ModelFailed, ModelHung
from gateways.core.inference.batch_size_limit import BatchSizeLimit, is_out_of_memory
from gateways.core.inference.request_queue import QueuedInput, RequestQueue, settle
from gateways.core.inference.throughput import Throughput
from gateways.core.inference.worker_threads import WorkerThread
from gateways.core.observability import metrics

log = logging.getLogger(__name__)

Batch: TypeAlias = Sequence[QueuedInput]


class BatchExecutor:
    """
    Runs batches through their model and settles the requests whose results are complete.

    A batch that fails is bisected until the bad input fails alone. Every pass is recorded in `limit` and in
    `throughput`, the throughput of all `threads` together.
    """

    def __init__(self, queue: RequestQueue, limit: BatchSizeLimit, throughput: Throughput, threads: int) -> None:
        self._queue = queue
        self._limit = limit
        self._throughput = throughput
        self._threads = threads

    def execute(self, thread: WorkerThread[QueuedInput], batch: Batch) -> None:
        """Run a batch on the calling thread, which `thread` describes, then the halves of a batch that failed."""
        if not thread.begin(batch):
            self._queue.put_back([batch])
            return
        while batch:
            self._run_pass(thread, [item for item in batch if item.live])
            batch = thread.begin_next()

    def fail_lost(self, batch: Batch, reason: str) -> None:
        """Fail the requests of a batch whose thread hung or died."""
        self._fail(batch, ModelHung(f"the model did not come back from a pass with this input: {reason}"))

    def _run_pass(self, thread: WorkerThread[QueuedInput], inputs: Batch) -> None:
        if not inputs:
            thread.end()
            return
        for item in inputs:
            item.request.started_s = item.request.started_s or thread.since_s
        outcome = _run_model(inputs)
        if isinstance(outcome, Exception):
            self._bisect(thread, inputs, outcome)
        else:
            self._record_pass(inputs, thread.elapsed_s)
            self._deliver(thread, inputs, outcome)

    def _record_pass(self, batch: Batch, duration_s: float) -> None:
        tokens = sum(map(len, batch))
        # Assume that idle threads are as fast as this one, because they work as soon as a queue forms.
        self._throughput.record_pass(self._threads * tokens, duration_s)
        self._limit.record_success(tokens)
        computed = batch[0].request.cost.computed_tokens(len(batch), max(map(len, batch)), tokens)
        metrics.forward(len(batch), tokens, computed - tokens)

    def _bisect(self, thread: WorkerThread[QueuedInput], batch: Batch, error: Exception) -> None:
        halves = (batch[: len(batch) // 2], batch[len(batch) // 2 :]) if len(batch) > 1 else ()
        if not thread.end(*halves):
            return  # the thread was replaced, and its requests have failed already
        if not halves:
            log.error("the model failed on an input of %d tokens", len(batch[0]), exc_info=error)
            self._fail(batch, ModelFailed(f"the model failed on {batch[0].name}; the server's log has the cause"))
            return
        if is_out_of_memory(error):
            self._limit.record_out_of_memory(sum(map(len, batch)))
        log.warning("a batch of %d inputs failed, each half is tried: %s", len(batch), error)
        traceback.clear_frames(error.__traceback__)  # their variables hold the memory of the failed pass

    def _deliver(self, thread: WorkerThread[QueuedInput], batch: Batch, results: Sequence[Any]) -> None:
        complete = []
        with self._queue.lock:  # two threads can hold inputs of one request
            if not thread.end():
                return  # the thread was replaced, and its requests have failed already
            for item, result in zip(batch, results, strict=True):
                item.request.results[item.position] = result
                item.request.pending -= 1
                if not item.request.pending:
                    complete.append(item.request)
        settle(complete)

    def _fail(self, batch: Batch, error: ModelFailed) -> None:
        requests = list({id(item.request): item.request for item in batch}.values())
        with self._queue.lock:
            for request in requests:
                request.error = request.error or error
                self._queue.withdraw(request)
        settle(requests)


def _run_model(batch: Batch) -> list[Any] | Exception:
    """Return n results, or the error of the pass, which is also one whose numbers are not finite."""
    # The error is a value, because the halves of a batch that run inside `except` could not reuse its memory.
    try:
        results = list(batch[0].request.run([item.item for item in batch]))
        if len(results) != len(batch):
            raise ValueError(f"{len(results)} results for {len(batch)} inputs")
        if not all(map(_is_finite, results)):
            raise ValueError("the model gave NaN or infinity")
    except Exception as error:
        return error
    return results


def _is_finite(result: Any) -> bool:
    """Return whether all numbers of a result are finite: of an array, a number, or a tuple of arrays."""
    arrays = result if isinstance(result, tuple) else (result,)
    return all(np.isfinite(array).all() for array in arrays)
