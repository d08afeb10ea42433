"""What the passes of a model cost on this machine: measured when it is first loaded, and kept beside its weights."""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from gateways.core.backend import TokenIds
from gateways.core.cards import card_name
from gateways.core.catalog import Located
from gateways.core.planning import PassCost
from gateways.core.runtime import DenseModel
from gateways.core.settings import Settings

log = logging.getLogger(__name__)

# The lengths of the texts of a pass: one short, many short, long ones, and a long one among short ones. About 700
# tokens: half a second on a core for a small model in fp32.
SHAPES = ((16,), (16,) * 8, (128,), (128, 128), (*(8,) * 15, 64))
# A GPU takes as long for many times as much: the same shapes with so many times their rows, and costs as much more.
GPU_ROWS = 64
# The knee is looked for in passes of texts of so many tokens, twice as many each time, as long as that is so much
# faster a token.
KNEE_LENGTH, KNEE_TOKENS, FASTER = 128, (512, 65_536), 1.05
REPEATS = 3
TOKEN = 1_000
# What a machine that is busy with other things may make of it is cut to this: fixed, padding, pair.
MOST = PassCost(fixed=64.0, padding=1.0, pair=1 / 200)
Encode = Callable[[Sequence[TokenIds]], object]


def tune(model: DenseModel, located: Located, settings: Settings) -> None:
    """Tell a model what its passes cost on this machine; MAX_BATCH_TOKENS, where it is set, is its knee."""
    device = located.info.device
    engine = f"{type(model).__name__} {located.info.precision} {device} {card_name(device) or ''}".rstrip()
    cost = pass_cost(model.encode, located.weights, engine, on_gpu=device != "cpu")
    model.cost = cost._replace(knee=0) if "max_batch_tokens" in settings.model_fields_set else cost


def pass_cost(encode: Encode, weights: Path, engine: str, *, on_gpu: bool = False) -> PassCost:
    """
    Return what passes of `encode` cost, as it was measured here before or else measured now.

    What is kept is for this processor, these weights and this `engine`; where it cannot be written, every start
    measures again. The knee is measured on a GPU only.
    """
    file = weights.parent / ".measured" / f"{_key(weights, engine)}.json"
    try:
        return PassCost(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        rows = GPU_ROWS if on_gpu else 1
        shapes = [shape * rows for shape in SHAPES]
        measured = fit(shapes, [_seconds(encode, shape) for shape in shapes], MOST.fixed * rows)
        measured = measured._replace(knee=knee(encode) if on_gpu else 0)
    try:
        file.parent.mkdir(exist_ok=True)
        written = file.with_suffix(".new")
        written.write_text(json.dumps(measured._asdict()))
        written.replace(file)
    except OSError as error:
        log.info("what passes cost is measured at every start: %s", error)
    return measured


def knee(encode: Encode, tokens: tuple[int, int] = KNEE_TOKENS) -> int:
    """
    Return how many tokens a pass needs to be efficient, from the first of `tokens` to the last.

    It is where twice as many are not 1.05 times as fast a token, or are too many for the memory there is.
    """
    enough, most = tokens
    fastest = 0.0
    while (asked := enough if not fastest else 2 * enough) <= most:
        try:
            per_s = asked / _seconds(encode, (KNEE_LENGTH,) * (asked // KNEE_LENGTH))
        except Exception as error:
            if not fastest:
                raise
            log.info("passes of over %d tokens are too large: %s", enough, error)
            break
        if per_s < FASTER * fastest:
            break
        enough, fastest = asked, per_s
    return enough


def fit(shapes: Sequence[Sequence[int]], seconds: Sequence[float], most_fixed: float | None = None) -> PassCost:
    """
    Return the cost, in tokens, that explains best how long passes over texts of these lengths took.

    A pass costs `most_fixed` at most, what it may on a CPU where nothing is said.
    """
    terms = np.array([_terms(lengths) for lengths in shapes])
    weights = 1 / np.asarray(seconds)
    per_term, *_ = np.linalg.lstsq(terms * weights[:, None], np.ones(len(shapes)), rcond=None)
    token_s = max(float(per_term[1]), 1e-9)
    found = [float(per_term[at]) / token_s for at in (0, 2, 3)]
    most = (MOST.fixed if most_fixed is None else most_fixed, MOST.padding, MOST.pair)
    fixed, padding, pair = (round(min(max(0.0, cost), limit), 6) for cost, limit in zip(found, most, strict=True))
    return PassCost(fixed, padding, pair)


def _terms(lengths: Sequence[int]) -> tuple[float, float, float, float]:
    """Return what multiplies the costs of a pass, of a token, of a cell of padding and of a pair of cells."""
    cells = len(lengths) * max(lengths)
    return 1.0, float(sum(lengths)), float(cells - sum(lengths)), float(cells * max(lengths))


def _seconds(encode: Encode, lengths: Sequence[int]) -> float:
    batch = [[TOKEN] * length for length in lengths]
    taken_s = []
    for _ in range(REPEATS):
        started_s = time.perf_counter()
        encode(batch)
        taken_s.append(time.perf_counter() - started_s)
    return min(taken_s)


def _key(weights: Path, engine: str) -> str:
    cpuinfo = Path("/proc/cpuinfo")
    told = cpuinfo.read_text() if cpuinfo.is_file() else platform.processor()
    processor = {line for line in told.splitlines() if line.startswith(("model name", "flags", "Features"))}
    stat = weights.stat()
    said = "\n".join([*sorted(processor), engine, f"{stat.st_size} {stat.st_mtime_ns}"])
    return hashlib.sha256(said.encode()).hexdigest()[:12]
