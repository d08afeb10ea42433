"""Batchers for unit tests, and passes that show whose result is whose."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from gateways.core.backend import F32, PADDED, PassCost, TokenIds
from gateways.core.inference.batcher import Batcher
from gateways.core.inference.request_queue import QueuedInput, QueuedRequest, Run

T = TypeVar("T")


def first_and_length(batch: Sequence[TokenIds]) -> F32:
    """Encode each row as its first token and its length."""
    return np.array([[ids[0], len(ids)] for ids in batch], dtype=np.float32)


def run_batcher(scenario: Callable[[Batcher], Awaitable[T]], **options: float) -> T:
    """Return the result of a scenario with a batcher: 2 threads, 64 tokens per batch, unless `options` differ."""
    settings: dict[str, Any] = {"threads": 2, "max_batch_tokens": 64, "max_queue_tokens": 100_000} | options

    async def run() -> T:
        batcher = Batcher(**settings)
        batcher.start()
        result = await scenario(batcher)
        await batcher.close()
        return result

    return asyncio.run(asyncio.wait_for(run(), 60))


def results(request: QueuedRequest) -> list[list[float]]:
    """Return the results of a request as lists."""
    return [result.tolist() for result in request.results]


def queued(run: Run, items: Sequence[TokenIds], cost: PassCost = PADDED) -> tuple[QueuedRequest, list[QueuedInput]]:
    """Return a request of the running loop and its inputs, as they are before they are put in a queue."""
    request = QueuedRequest(
        run=run,
        cost=cost,
        results=[None] * len(items),
        pending=len(items),
        queued_tokens=sum(map(len, items)),
        settled=asyncio.get_running_loop().create_future(),
        queued_s=0.0,
    )
    return request, [QueuedInput(request, position, item) for position, item in enumerate(items)]
