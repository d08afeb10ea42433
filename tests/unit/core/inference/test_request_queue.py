"""The queue: what it counts, what it hands out, and when it ends."""

from __future__ import annotations

import asyncio
import threading

from gateways.core.inference.batch_scheduler import BatchScheduler
from gateways.core.inference.batch_size_limit import BatchSizeLimit
from gateways.core.inference.request_queue import QueuedInput, QueuedRequest, RequestQueue
from tests.support.batcher import first_and_length, queued


def queue_of(*lengths: int) -> tuple[RequestQueue, list[QueuedRequest]]:
    """Return a queue with batches of 10 tokens, and its requests, each of one input."""
    queue, requests = RequestQueue(BatchScheduler(BatchSizeLimit(10), threads=1)), []

    async def fill() -> None:
        for number, length in enumerate(lengths):
            items = [[number] * length]
            requests.append(queued(first_and_length, items)[0])
            queue.put(requests[-1], items)

    asyncio.run(fill())
    return queue, requests


def cancel(queue: RequestQueue, request: QueuedRequest) -> None:
    """Cancel a request as the batcher does."""
    with queue.lock:
        request.cancelled = True
        queue.withdraw(request)


def numbers(batch: list[QueuedInput] | None) -> list[int]:
    """Return the numbers of the requests that a batch holds."""
    assert batch
    return [item.item[0] for item in batch if isinstance(item.item, list)]


def test_batches_come_out_in_the_order_of_arrival() -> None:
    """A later input does not run before an earlier one that fills a pass, though it is shorter."""
    queue, _ = queue_of(8, 8, 1, 8)

    assert [numbers(queue.take()) for _ in range(4)] == [[0], [1], [2], [3]]


def test_only_what_no_thread_took_is_counted() -> None:
    """The count falls with each batch, and at once with a request that is cancelled."""
    queue, requests = queue_of(8, 7, 6)

    assert queue.tokens == 21
    queue.take()
    assert queue.tokens == 13
    cancel(queue, requests[2])
    assert queue.tokens == 7
    cancel(queue, requests[2])  # as a request that fails and is cancelled then
    assert queue.tokens == 7
    cancel(queue, requests[0])  # it is at a thread: nothing of it is queued any more
    assert queue.tokens == 7


def test_a_cancelled_request_is_never_handed_out() -> None:
    """Whether it was scheduled already or not."""
    queue, requests = queue_of(4, 4, 4, 4)

    cancel(queue, requests[1])
    assert numbers(queue.take()) == [0, 2]
    cancel(queue, requests[3])
    queue.close()
    assert queue.take() is None
    assert queue.tokens == 0


def test_a_request_that_is_cancelled_after_its_scheduling_is_never_handed_out() -> None:
    """Only the rest of its window is."""
    queue, requests = RequestQueue(BatchScheduler(BatchSizeLimit(10), threads=1, background=True)), []

    async def fill() -> None:
        for number in range(3):
            requests.append(queued(first_and_length, [[number] * 8])[0])
            queue.put(requests[-1], [[number] * 8])

    asyncio.run(fill())
    [first] = numbers(queue.take())
    cancelled, last = [number for number in range(3) if number != first]
    cancel(queue, requests[cancelled])

    queue.close()
    assert numbers(queue.take()) == [last]
    assert queue.take() is None


def test_a_closed_queue_is_drained_first() -> None:
    """Then every thread that waits is sent home."""
    queue, _ = queue_of(8, 8)
    batches: list[list[QueuedInput] | None] = []

    def drain() -> None:
        while batch := queue.take():
            batches.append(batch)

    threads = [threading.Thread(target=drain) for _ in range(3)]
    for thread in threads:
        thread.start()
    queue.close()
    for thread in threads:
        thread.join(timeout=10)

    assert not any(thread.is_alive() for thread in threads)
    assert sorted(numbers(batch)[0] for batch in batches) == [0, 1]
