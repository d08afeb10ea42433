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
from gateways.core.planning import PassCost

log = logging.getLogger(__name__)

# The lengths of the texts of a pass: one short, many short, long ones, and a long one among short ones. About 700
# tokens: half a second on a core for a small model in fp32.
SHAPES = ((16,), (16,) * 8, (128,), (128, 128), (*(8,) * 15, 64))
REPEATS = 3
TOKEN = 1_000
# What a machine that is busy with other things may make of it is cut to this: fixed, padding, pair.
MOST = PassCost(fixed=64.0, padding=1.0, pair=1 / 200)
Encode = Callable[[Sequence[TokenIds]], object]


def pass_cost(encode: Encode, weights: Path, engine: str) -> PassCost:
    """
    Return what passes of `encode` cost, as it was measured here before or else measured now.

    What is kept is for this processor, these weights and this `engine`; where it cannot be written, every start
    measures again.
    """
    file = weights.parent / ".measured" / f"{_key(weights, engine)}.json"
    try:
        return PassCost(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        measured = fit(SHAPES, [_seconds(encode, shape) for shape in SHAPES])
    try:
        file.parent.mkdir(exist_ok=True)
        written = file.with_suffix(".new")
        written.write_text(json.dumps(measured._asdict()))
        written.replace(file)
    except OSError as error:
        log.info("what passes cost is measured at every start: %s", error)
    return measured


def fit(shapes: Sequence[Sequence[int]], seconds: Sequence[float]) -> PassCost:
    """Return the cost, in tokens, that explains best how long passes over texts of these lengths took."""
    terms = np.array([_terms(lengths) for lengths in shapes])
    weights = 1 / np.asarray(seconds)
    per_term, *_ = np.linalg.lstsq(terms * weights[:, None], np.ones(len(shapes)), rcond=None)
    token_s = max(float(per_term[1]), 1e-9)
    fixed, padding, pair = (float(per_term[at]) / token_s for at in (0, 2, 3))
    return PassCost(
        *(round(min(max(0.0, found), most), 6) for found, most in zip((fixed, padding, pair), MOST, strict=True))
    )


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
