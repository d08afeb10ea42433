"""The machine's speed: a fixed piece of work, timed on the server's cores while the server is idle."""

from __future__ import annotations

import statistics
import time

import numpy as np
from threadpoolctl import threadpool_limits

from bench.arrays import F32
from bench.machine import cores

# The work of a model: a matrix product in fp32. It feels the clock of the vector units and the caches.
SIZE = 320
TRIES = 8
# The speed of a virtual machine varies by some percent from moment to moment, so take the median of several samples.
SAMPLES = 7
MATRIX: F32 = np.random.default_rng(0).random((SIZE, SIZE), np.float32)


def seconds(on: tuple[int, ...]) -> float:
    """
    Return the seconds of a matrix product on the cores `on`: the median of 7 samples, each the fastest of 8 tries.

    The fastest try counts, because a disturbance can only slow a try down. The calling thread is pinned to `on`
    meanwhile and computes alone, because the threads of a BLAS library would run on other cores.
    """
    with cores.pinned(on), threadpool_limits(1, "blas"):
        _time_product()  # the first product after a pause finds cold caches and a low clock
        return statistics.median(min(_time_product() for _ in range(TRIES)) for _ in range(SAMPLES))


def _time_product() -> float:
    start = time.perf_counter()
    MATRIX @ MATRIX
    return time.perf_counter() - start
