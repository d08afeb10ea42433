"""Serving compared with the runtime alone: the cost of HTTP, batching and tokenization."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench import paths
from bench.errors import BenchError
from bench.machine import cores
from bench.machine.device_names import is_gpu
from bench.measurement.plan import Cell, Options
from bench.measurement.session import Bench, Session
from bench.records.runs_csv import Row
from bench.scenarios import closed
from bench.targets import Role, Target

HEADLINE = "Requests per second compared with the runtime alone, at the batch sizes that were formed"
ROUTE, CONCURRENCY = "embeddings", 64
PROGRAM = Path(__file__).parents[1] / "measurement" / "bare_onnx.py"
PASSES, TIMEOUT_S = 60, 120


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """Return one cell for a target that counts passes over an ONNX graph on a CPU, like the bare runtime."""
    comparable = _find_onnx_role(target) and ROUTE in target.capabilities and not is_gpu(target.device)
    return [Cell(block, target, "bare", ROUTE, CONCURRENCY)] if comparable else []


def run(bench: Bench, cell: Cell, session: Session) -> list[Row]:
    """Measure one window of the closed loop, then passes of the same graph at the same batch size and cores."""
    role = _find_onnx_role(cell.target)
    assert role is not None  # noqa: S101  (else `cells` gives no cell)
    before = session.api.passes(), session.api.forwards()
    [row] = closed.run(bench, cell, session)
    after = session.api.passes(), session.api.forwards()
    passes, texts = (float(now or 0) - float(then or 0) for now, then in zip(after, before, strict=True))
    if row.rps and passes:
        row.texts_per_pass = texts / passes
        unseen = session.texts.take(PASSES * round(row.texts_per_pass))
        session.texts.give_back(unseen)
        token_ids = bench.reference.encoder.ids(unseen)
        row.bare_texts_per_s = _measure_runtime(bench, role, token_ids, round(row.texts_per_pass))
        row.of_bare = row.rps / row.bare_texts_per_s
    return [row]


def _find_onnx_role(target: Target) -> Role | None:
    """Return the role that counts its passes and whose first model file is an ONNX graph."""
    counting = (role for role in target.roles if role.pass_counter)
    return next((role for role in counting if role.model_files[:1] and role.model_files[0].endswith(".onnx")), None)


def _measure_runtime(bench: Bench, role: Role, rows: Sequence[Sequence[int]], batch_size: int) -> float:
    """Return the texts per second of the graph alone, run by the interpreter that serves it."""
    batches = [list(rows[start : start + batch_size]) for start in range(0, len(rows), batch_size)]
    task = {"graph": str(paths.model_dir() / role.model_files[0]), "batches": batches}
    with cores.pinned(bench.place.pinning.server):
        done = subprocess.run(  # noqa: S603  (our own program)
            [str(role.python), str(PROGRAM)],
            input=json.dumps(task).encode(),
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    if done.returncode:
        raise BenchError(f"{PROGRAM.name}: {done.stderr.decode()[-300:]}")
    return len(rows) / float(done.stdout)
