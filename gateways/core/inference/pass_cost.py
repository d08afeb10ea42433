"""The cost of forward passes on this machine: measured when a model is first loaded, cached beside its weights."""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from gateways.core.backend import PassCost, TokenIds
from gateways.core.host.gpu_name import card_name
from gateways.core.models.catalog import Located
from gateways.core.models.runtime import DenseModel
from gateways.core.settings import ModelSettings

log = logging.getLogger(__name__)

# Text lengths of the passes that are measured: one short text, many short, long ones, a long one among short ones.
# They have about 700 tokens, half a second of one core for a small model in fp32.
SHAPES = ((16,), (16,) * 8, (128,), (128, 128), (*(8,) * 15, 64))
# On a GPU a pass of few tokens takes as long as one of many. The same shapes with 64 times the rows are measured.
GPU_ROWS = 64
# The knee is searched with texts of 128 tokens, in passes from 512 to 65,536 tokens. The size doubles as long as the
# throughput grows by 5 %.
KNEE_LENGTH, KNEE_TOKENS, KNEE_GAIN = 128, (512, 65_536), 1.05
REPEATS = 3
TOKEN = 1_000
# Other work on the machine disturbs the measurement. Results are limited to these values.
MAX_COST = PassCost(fixed=64.0, padding=1.0, pair=1 / 200)
Encode = Callable[[Sequence[TokenIds]], object]


def tune(model: DenseModel, located: Located, settings: ModelSettings) -> None:
    """Set `model.cost` to its cost on this machine, without a knee if MAX_BATCH_TOKENS is set."""
    device = located.info.device
    engine = f"{type(model).__name__} {located.info.precision} {device} {card_name(device) or ''}".rstrip()
    cost = pass_cost(model.encode, located.weights, engine, on_gpu=device != "cpu")
    model.cost = cost._replace(knee=0) if "max_batch_tokens" in settings.model_fields_set else cost


def pass_cost(encode: Encode, weights: Path, engine: str, *, on_gpu: bool = False) -> PassCost:
    """
    Return the cost of passes of `encode`, from the cache or else measured now.

    The cache is valid for this processor, these weights and this `engine`. If it cannot be written, every start
    measures again. The knee is measured on a GPU only; it is 0 elsewhere.
    """
    cache = weights.parent / ".measured" / f"{_cache_key(weights, engine)}.json"
    try:
        return PassCost(**json.loads(cache.read_text()))
    except (OSError, ValueError, TypeError):
        cost = measure(encode, on_gpu=on_gpu)
    try:
        cache.parent.mkdir(exist_ok=True)
        new_file = cache.with_suffix(".new")
        new_file.write_text(json.dumps(cost._asdict()))
        new_file.replace(cache)
    except OSError as error:
        log.info("what passes cost is measured at every start: %s", error)
    return cost


def measure(encode: Encode, *, on_gpu: bool) -> PassCost:
    """Return the cost of passes of `encode`, measured now."""
    rows = GPU_ROWS if on_gpu else 1
    shapes = [shape * rows for shape in SHAPES]
    cost = fit_cost(shapes, [_measure_seconds(encode, shape) for shape in shapes], MAX_COST.fixed * rows)
    return cost._replace(knee=measure_knee(encode) if on_gpu else 0)


def measure_knee(encode: Encode, token_range: tuple[int, int] = KNEE_TOKENS) -> int:
    """
    Return the number of tokens in `token_range` from which a larger pass is hardly more efficient.

    It is the first size whose double has less than 1.05 times its throughput, or does not fit memory.
    """
    knee, max_tokens = token_range
    best_per_s = 0.0
    while (tokens := 2 * knee if best_per_s else knee) <= max_tokens:
        try:
            per_s = tokens / _measure_seconds(encode, (KNEE_LENGTH,) * (tokens // KNEE_LENGTH))
        except Exception as error:
            if not best_per_s:
                raise
            log.info("passes of over %d tokens are too large: %s", knee, error)
            break
        if per_s < KNEE_GAIN * best_per_s:
            break
        knee, best_per_s = tokens, per_s
    return knee


def fit_cost(
    shapes: Sequence[Sequence[int]], seconds: Sequence[float], max_fixed: float = MAX_COST.fixed
) -> PassCost:
    """
    Return the cost, in tokens, that best explains the seconds of passes over texts of these lengths.

    Least squares of the relative error. The fixed cost is `max_fixed` at most.
    """
    terms = np.array([_cost_terms(lengths) for lengths in shapes])
    weights = 1 / np.asarray(seconds)
    per_term, *_ = np.linalg.lstsq(terms * weights[:, None], np.ones(len(shapes)), rcond=None)
    token_s = max(float(per_term[1]), 1e-9)
    costs = [float(per_term[term]) / token_s for term in (0, 2, 3)]
    limits = (max_fixed, MAX_COST.padding, MAX_COST.pair)
    fixed, padding, pair = (round(min(max(0.0, cost), limit), 6) for cost, limit in zip(costs, limits, strict=True))
    return PassCost(fixed, padding, pair)


def _cost_terms(lengths: Sequence[int]) -> tuple[float, float, float, float]:
    """Return the factors of the four costs: one pass, its tokens, its cells of padding, its pairs of cells."""
    cells = len(lengths) * max(lengths)
    return 1.0, float(sum(lengths)), float(cells - sum(lengths)), float(cells * max(lengths))


def _measure_seconds(encode: Encode, lengths: Sequence[int]) -> float:
    """Return the shortest of three passes."""
    batch = [[TOKEN] * length for length in lengths]
    durations_s = []
    for _ in range(REPEATS):
        started_s = time.perf_counter()
        encode(batch)
        durations_s.append(time.perf_counter() - started_s)
    return min(durations_s)


def _cache_key(weights: Path, engine: str) -> str:
    cpuinfo = Path("/proc/cpuinfo")
    description = cpuinfo.read_text() if cpuinfo.is_file() else platform.processor()
    processor = {line for line in description.splitlines() if line.startswith(("model name", "flags", "Features"))}
    stat = weights.stat()
    identity = "\n".join([*sorted(processor), engine, f"{stat.st_size} {stat.st_mtime_ns}"])
    return hashlib.sha256(identity.encode()).hexdigest()[:12]
