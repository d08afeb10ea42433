"""The size of batches while memory is short: smaller at once, larger again when memory is free."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gateways.core.backend import F32, PADDED, PassCost, TokenIds
from gateways.core.inference.batch_size_limit import (
    MIN_TOKENS,
    PASSES_BEFORE_RETRY,
    BatchSizeLimit,
    is_out_of_memory,
)
from gateways.core.inference.batcher import Batcher
from tests.support.batcher import first_and_length, results, run_batcher

KNEE = PassCost(fixed=8, padding=1, pair=0, knee=10_000)


def test_the_knee_of_a_model_goes_before_the_setting() -> None:
    """And memory before both."""
    limit = BatchSizeLimit(2_000)

    assert (limit.tokens_for(PADDED), limit.tokens_for(KNEE)) == (2_000, 10_000)
    limit.record_out_of_memory(6_000)
    assert (limit.tokens_for(PADDED), limit.tokens_for(KNEE)) == (2_000, 3_000)


def test_a_batch_is_never_cut_below_the_least_size() -> None:
    """However often memory is short."""
    limit = BatchSizeLimit(2_000)

    for _ in range(10):
        limit.record_out_of_memory(limit.tokens_for(PADDED))

    assert limit.tokens_for(PADDED) == MIN_TOKENS


def test_only_passes_near_the_limit_raise_it() -> None:
    """A hundred of them double it; small ones prove nothing."""
    limit = BatchSizeLimit(100_000)
    limit.record_out_of_memory(2_000)

    for _ in range(10 * PASSES_BEFORE_RETRY):
        limit.record_success(500)
    for _ in range(PASSES_BEFORE_RETRY - 1):
        limit.record_success(1_000)
    assert limit.tokens_for(PADDED) == 1_000
    limit.record_success(1_000)
    assert limit.tokens_for(PADDED) == 2_000


@pytest.mark.parametrize(
    ("error", "out_of_memory"),
    [
        (MemoryError(), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (RuntimeError("Failed to allocate memory for requested buffer of size 1024"), True),
        (RuntimeError("std::bad_alloc"), True),
        (ValueError("the shapes do not match"), False),
    ],
)
def test_shortage_of_memory_is_recognised(error: Exception, out_of_memory: bool) -> None:
    """In the words of Python, torch and ONNX Runtime."""
    assert is_out_of_memory(error) is out_of_memory


def test_a_pass_that_the_memory_does_not_hold_is_made_smaller() -> None:
    """Its inputs get their results, and passes after it are no larger than what it was cut to."""
    sizes: list[int] = []

    def small(batch: Sequence[TokenIds]) -> F32:
        sizes.append(sum(map(len, batch)))
        if sizes[-1] > 600:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return first_and_length(batch)

    async def scenario(batcher: Batcher) -> None:
        batch = [[n] * 64 for n in range(64)]
        assert results(await batcher.submit(small, batch)) == [[n, 64] for n in range(64)]
        assert max(sizes) > 3_000
        sizes.clear()
        assert results(await batcher.submit(small, batch)) == [[n, 64] for n in range(64)]
        assert max(sizes) <= 512

    run_batcher(scenario, threads=1, max_batch_tokens=4_096)


def test_memory_that_is_there_again_is_used_again() -> None:
    """After some passes that it held, larger ones are tried: one of them fails where the memory is not there yet."""
    sizes: list[int] = []
    room = 600

    def small(batch: Sequence[TokenIds]) -> F32:
        sizes.append(sum(map(len, batch)))
        if sizes[-1] > room:
            raise MemoryError
        return first_and_length(batch)

    async def largest_of(batcher: Batcher, passes: int) -> int:
        sizes.clear()
        while len(sizes) < passes:
            await batcher.submit(small, [[1] * 64] * 64)
        return max(sizes)

    async def scenario(batcher: Batcher) -> None:
        nonlocal room
        assert await largest_of(batcher, 1) > room
        assert await largest_of(batcher, PASSES_BEFORE_RETRY // 2) <= room
        assert room < await largest_of(batcher, 3 * PASSES_BEFORE_RETRY) <= 4 * room
        assert sum(size > room for size in sizes) < 0.05 * len(sizes)
        room = 100_000
        assert await largest_of(batcher, 6 * PASSES_BEFORE_RETRY) > 3_000

    run_batcher(scenario, threads=1, max_batch_tokens=4_096)
