"""The executor: results to their requests, a failed batch in halves, and nothing for a cancelled request."""

from __future__ import annotations

import asyncio
import gc
import math
import weakref
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np
import pytest

from gateways.core.backend import F32, PADDED, TokenIds
from gateways.core.errors import ModelFailed, ModelHung
from gateways.core.inference.batch_executor import BatchExecutor
from gateways.core.inference.batch_scheduler import BatchScheduler
from gateways.core.inference.batch_size_limit import BatchSizeLimit
from gateways.core.inference.pass_progress import PassProgress
from gateways.core.inference.request_queue import QueuedInput, QueuedRequest, RequestQueue
from gateways.core.inference.throughput import Throughput
from gateways.core.inference.worker_threads import WorkerThread
from tests.support.batcher import first_and_length, queued, results

THREADS = 2


class Execution:
    """An executor on the calling thread, and the passes that its model saw: the first token of each row."""

    def __init__(self, bad: Sequence[int] = (), error: Exception | None = None) -> None:
        self.passes: list[list[int]] = []
        self.limit, self.throughput = BatchSizeLimit(1_000), Throughput()
        queue = RequestQueue(BatchScheduler(self.limit, THREADS))
        self.executor = BatchExecutor(queue, self.limit, self.throughput, THREADS)
        self.thread: WorkerThread[QueuedInput] = WorkerThread("model-0", lambda _: None, PassProgress(60.0, 2.0))
        self._bad = bad
        self._error = error or ValueError("unlucky")

    def encode(self, batch: Sequence[TokenIds]) -> F32:
        """Record a pass, and fail if it holds a bad input."""
        self.passes.append([ids[0] for ids in batch])
        if any(ids[0] in self._bad for ids in batch):
            raise self._error
        return first_and_length(batch)

    def requests(self, *batches: Sequence[TokenIds]) -> list[tuple[QueuedRequest, list[QueuedInput]]]:
        """Return a request for each batch, with its inputs."""
        return [queued(self.encode, batch) for batch in batches]

    def execute(self, requests: Sequence[tuple[QueuedRequest, list[QueuedInput]]]) -> None:
        """Execute the inputs of these requests as one batch."""
        self.executor.execute(self.thread, [item for _, inputs in requests for item in inputs])


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario on an event loop, within 10 s."""

    async def limited() -> None:
        await asyncio.wait_for(scenario(), 10)

    asyncio.run(limited())


@pytest.mark.parametrize("bad", range(8))
def test_one_bad_input_fails_alone(bad: int) -> None:
    """The batch is bisected: the others get their results, after no more passes than two for each halving."""
    execution = Execution(bad=[bad])

    async def scenario() -> None:
        requests = execution.requests(*([[n]] for n in range(8)))
        execution.execute(requests)
        for number, (request, _) in enumerate(requests):
            await request.settled
            if number == bad:
                assert isinstance(request.error, ModelFailed)
            else:
                assert results(request) == [[number, 1]]

    run(scenario)

    assert execution.passes[0] == list(range(8))
    assert len(execution.passes) == 1 + 2 * 3
    assert execution.thread.passes == len(execution.passes)


def test_a_request_fails_as_a_whole_and_names_the_bad_input() -> None:
    """Its other inputs are not computed any more once it has failed."""
    execution = Execution(bad=[13])

    async def scenario() -> None:
        requests = execution.requests([[13], [1], [2], [3]], [[4]])
        execution.execute(requests)
        for request, _ in requests:
            await request.settled
        assert "input 0, counted from 0" in str(requests[0][0].error)
        assert results(requests[1][0]) == [[4, 1]]

    run(scenario)

    assert execution.passes == [[13, 1, 2, 3, 4], [13, 1], [13], [4]]


def test_a_cancelled_request_never_runs() -> None:
    """Neither in the batch that it was scheduled for, nor in a half of it."""
    execution = Execution()

    async def scenario() -> None:
        requests = execution.requests([[1]], [[2]], [[3]])
        requests[1][0].cancelled = True
        execution.execute(requests)
        await asyncio.gather(requests[0][0].settled, requests[2][0].settled)
        assert not requests[1][0].settled.done()
        requests[0][0].cancelled = True
        execution.execute(requests[:2])

    run(scenario)

    assert execution.passes == [[1, 3]]


def test_a_replaced_thread_runs_no_more_and_its_results_are_discarded() -> None:
    """Its requests have failed; the successor serves."""
    execution = Execution()

    async def scenario() -> None:
        requests = execution.requests([[1]])

        def encode(batch: Sequence[TokenIds]) -> F32:
            execution.thread.replaced = True
            execution.executor.fail_lost(execution.thread.batch, "it hangs")
            return execution.encode(batch)

        requests[0][0].run = encode
        execution.execute(requests)
        await requests[0][0].settled
        assert isinstance(requests[0][0].error, ModelHung)
        assert requests[0][0].results == [None]
        execution.execute(execution.requests([[2]]))

    run(scenario)

    assert execution.passes == [[1]]


def test_a_model_that_returns_too_few_results_fails() -> None:
    """No request gets the result of another."""
    execution = Execution()

    async def scenario() -> None:
        request, inputs = queued(lambda batch: batch[:-1], [[1], [2]])
        execution.executor.execute(execution.thread, inputs)
        await request.settled
        assert isinstance(request.error, ModelFailed)

    run(scenario)


def test_every_pass_is_recorded() -> None:
    """A success in the throughput of all threads, a shortage of memory in the size limit."""
    execution = Execution(bad=[13], error=MemoryError())

    async def scenario() -> None:
        execution.execute(execution.requests([[13] * 400], [[1] * 400]))

    run(scenario)

    assert execution.throughput.per_s > 0
    assert execution.limit.tokens_for(PADDED) == 400


def test_the_memory_of_a_failed_pass_is_free_before_its_halves_run() -> None:
    """Otherwise the halves would not fit memory either."""

    class Activations:
        """Memory that a pass allocates."""

    alive: list[int] = []
    allocated: weakref.WeakSet[Activations] = weakref.WeakSet()

    def encode(batch: Sequence[TokenIds]) -> F32:
        gc.collect()
        alive.append(len(allocated))
        activations = Activations()
        allocated.add(activations)
        if len(batch) > 1:
            raise MemoryError(f"no memory for {activations}")
        return first_and_length(batch)

    async def scenario() -> None:
        execution = Execution()
        request, inputs = queued(encode, [[1], [2], [3], [4]])
        execution.executor.execute(execution.thread, inputs)
        await request.settled
        assert results(request) == [[1, 1], [2, 1], [3, 1], [4, 1]]

    run(scenario)

    assert alive == [0] * 7


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_result_that_is_no_number_is_a_failure_of_its_input(wrong: float) -> None:
    """It is neither stored nor answered with; the other inputs of the pass get their results."""
    execution = Execution()

    async def scenario() -> None:
        requests = execution.requests([[1]], [[2]], [[3]])
        for request, _ in requests:
            request.run = lambda batch: [np.array([wrong if ids == [2] else ids[0]], np.float32) for ids in batch]
        execution.execute(requests)
        for request, _ in requests:
            await request.settled
        assert isinstance(requests[1][0].error, ModelFailed)
        assert [results(requests[at][0]) for at in (0, 2)] == [[[1]], [[3]]]

    run(scenario)


@pytest.mark.parametrize("part", [0, 1])
def test_every_array_of_a_result_is_looked_at(part: int) -> None:
    """A vector and the vectors of its tokens, or indices and weights."""
    execution = Execution()
    arrays: list[Any] = [np.zeros(2, np.float32), np.zeros((2, 2), np.float16)]
    arrays[part][...] = math.nan

    async def scenario() -> None:
        [(request, inputs)] = execution.requests([[1]])
        request.run = lambda _: [tuple(arrays)]
        execution.execute([(request, inputs)])
        await request.settled
        assert isinstance(request.error, ModelFailed)

    run(scenario)
