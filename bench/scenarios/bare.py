"""Serving against the runtime alone: what is left of its speed when HTTP, batching and tokenising are paid."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench import cores, paths
from bench.devices import is_gpu
from bench.errors import BenchError
from bench.plan import Cell, Options
from bench.records import Row
from bench.scenarios import closed
from bench.session import Bench, Live
from bench.targets import Role, Target

HEADLINE = "Requests a second against the runtime alone, at the batch sizes that were formed"
VERIFIED = True
ROUTE, CONCURRENCY = "embeddings", 64
PROGRAM = Path(__file__).parents[1] / "bare_onnx.py"
PASSES, TIMEOUT_S = 60, 120


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """One, for targets that count their passes over an ONNX graph, on a CPU as the bare runtime does."""
    able = _engine(target) and ROUTE in target.capabilities and not is_gpu(target.device)
    return [Cell(block, target, "bare", ROUTE, CONCURRENCY)] if able else []


def run(bench: Bench, cell: Cell, live: Live | None) -> list[Row]:
    """One window of the closed loop, then passes of the same graph over as many texts, on the same cores."""
    role = _engine(cell.target)
    if live is None or role is None:
        raise BenchError("bare runs against a verified server that counts its passes")
    before = live.api.passes(), live.api.forwards()
    [row] = closed.run(bench, cell, live)
    after = live.api.passes(), live.api.forwards()
    passes, texts = (float(now or 0) - float(then or 0) for now, then in zip(after, before, strict=True))
    if row.rps and passes:
        row.texts_per_pass = texts / passes
        asked = live.texts.take(PASSES * round(row.texts_per_pass))
        live.texts.give_back(asked)
        row.bare_texts_per_s = _bare(bench, role, bench.reference.encoder.ids(asked), round(row.texts_per_pass))
        row.of_bare = row.rps / row.bare_texts_per_s
    return [row]


def _engine(target: Target) -> Role | None:
    """The role whose passes are counted, and whose first model file is a graph."""
    counting = (role for role in target.roles if role.pass_counter)
    return next((role for role in counting if role.model_files[:1] and role.model_files[0].endswith(".onnx")), None)


def _bare(bench: Bench, role: Role, rows: Sequence[Sequence[int]], size: int) -> float:
    """Texts a second of the graph alone, so many texts a pass, by the interpreter that serves it."""
    batches = [list(rows[start : start + size]) for start in range(0, len(rows), size)]
    asked = {"graph": str(paths.model_dir() / role.model_files[0]), "batches": batches}
    with cores.pinned(bench.place.pinning.server):
        done = subprocess.run(  # noqa: S603  (our own program)
            [str(role.python), str(PROGRAM)],
            input=json.dumps(asked).encode(),
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    if done.returncode:
        raise BenchError(f"{PROGRAM.name}: {done.stderr.decode()[-300:]}")
    return len(rows) / float(done.stdout)
