"""Dynamic batching without a timer: a free worker thread takes what is queued at that moment."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence, Sized

from gateways.core.backend import PADDED, PassCost
from gateways.core.errors import BackendUnavailable, Overloaded
from gateways.core.inference.admission import AdmissionControl
from gateways.core.inference.batch_executor import BatchExecutor
from gateways.core.inference.batch_scheduler import BatchScheduler
from gateways.core.inference.batch_size_limit import BatchSizeLimit
from gateways.core.inference.request_queue import QueuedInput, QueuedRequest, RequestQueue, Run
from gateways.core.inference.throughput import Throughput
from gateways.core.inference.worker_threads import WorkerThread, WorkerThreads


class Batcher:
    """
    One lane from the event loop to the models: admission control, queue, scheduler and worker threads.

    A request brings the `run` of its model, which is called on worker threads only. All methods are called on the
    event loop of `start`.

    * AdmissionControl refuses a request beyond `max_queue_tokens`, or that would wait longer than `max_wait_s`.
    * BatchScheduler makes batches of up to `max_batch_tokens`, FIFO unless in the `background`.
    * BatchExecutor runs a batch, and bisects it if it fails.
    * WorkerThreads replaces a thread that died, or that spends more than `hang_s` in one pass.
    """

    def __init__(
        self,
        *,
        threads: int,
        max_batch_tokens: int,
        max_queue_tokens: int,
        max_wait_s: float = math.inf,
        hang_s: float = math.inf,
        background: bool = False,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._clock = clock
        throughput, limit = Throughput(), BatchSizeLimit(max_batch_tokens)
        self._admission = AdmissionControl(
            unit="tokens",
            service="the model",
            max_queued=max_queue_tokens,
            max_wait_s=max_wait_s,
            pass_size=max_batch_tokens,
            throughput=throughput,
        )
        self._queue = RequestQueue(BatchScheduler(limit, threads, background=background))
        self._executor = BatchExecutor(self._queue, limit, throughput, threads)
        self._threads = WorkerThreads(
            threads,
            self._work,
            self._executor.fail_lost,
            self._queue.put_back,
            hang_s,
            background=background,
            clock=clock,
        )

    def start(self) -> None:
        """Start the worker threads, bound to the running loop."""
        self._threads.start()

    async def close(self) -> None:
        """Refuse new requests, run what is queued, and join the threads that do not hang."""
        self._queue.close()
        await self._threads.join()

    @property
    def queued_tokens(self) -> int:
        """Tokens that no worker thread took yet."""
        return self._queue.tokens

    def failure(self) -> str | None:
        """Return which worker thread hangs or died, None while all work."""
        return self._threads.failure()

    def refusal(self, tokens: int = 0, within_s: float = math.inf, before: int = 0) -> Overloaded | None:
        """
        Return the error that refuses a request of `tokens`, None if the request is admitted.

        The request has a deadline of `within_s`. `before` counts tokens that run before it and are not queued yet.
        """
        return self._admission.refusal(tokens, queued=self._queue.tokens + before, within_s=within_s)

    async def submit(self, run: Run, items: Sequence[Sized], cost: PassCost = PADDED) -> QueuedRequest:
        """
        Queue n inputs and return the request with its n results. A request that is cancelled leaves the queue.

        Raises Overloaded if it is not admitted, BackendUnavailable while the server stops, and ModelFailed if the
        model fails on one of the inputs.
        """
        request = self._enqueue(run, items, cost)
        try:
            await request.settled
        except asyncio.CancelledError:
            with self._queue.lock:
                request.cancelled = True
                self._queue.withdraw(request)
            raise
        if request.error:
            raise request.error
        return request

    def _enqueue(self, run: Run, items: Sequence[Sized], cost: PassCost) -> QueuedRequest:
        # No lock for these two checks: worker threads only make the queue shorter.
        if self._queue.closed:
            raise BackendUnavailable("this server is stopping", retry_after_s=1)
        tokens = sum(map(len, items))
        if refused := self.refusal(tokens):
            raise refused
        request = QueuedRequest(
            run=run,
            cost=cost,
            results=[None] * len(items),
            pending=len(items),
            queued_tokens=tokens,
            settled=asyncio.get_running_loop().create_future(),
            queued_s=self._clock(),
        )
        self._queue.put(request, items)
        return request

    def _work(self, thread: WorkerThread[QueuedInput]) -> None:
        while not thread.replaced and (batch := self._queue.take()) is not None:
            self._executor.execute(thread, batch)
