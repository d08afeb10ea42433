"""Cold start: from exec to listening, to ready, to the first answer that agrees with the reference."""

from __future__ import annotations

import socket
import time
from contextlib import suppress

from bench import verify
from bench.api import Api
from bench.datasets.stream import TextStream
from bench.errors import AnswerError
from bench.plan import Cell, Options
from bench.processes import Running
from bench.records import Row
from bench.sampler import memory
from bench.session import Bench, Live
from bench.targets import Target

HEADLINE = "Seconds from exec to the first validated answer (files in the page cache)"
VERIFIED = False


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """One cell a target, in the first block only: its replicates are starts."""
    wanted = block == 1 and target.ingest and "embeddings" in target.capabilities
    return [Cell(block, target, "cold", "embeddings")] if wanted else []


def run(bench: Bench, cell: Cell, live: Live | None) -> list[Row]:
    """Start, time and stop the target as often as the profile says."""
    starts = bench.options.profile.starts
    texts = TextStream(bench.reference.squad.texts, bench.seed(cell.block)).take(starts)
    rows: list[Row] = []
    for replicate, text in enumerate(texts, start=1):
        bench.show.step("cold start", replicate - 1, starts)
        row = bench.row(cell, replicate)
        with bench.start(cell.target, f"cold{replicate}") as running:
            _time(running, row, text, bench)
        rows.append(row)
    return rows


def _time(running: Running, row: Row, text: str, bench: Bench) -> None:
    port = running.front.port
    with Api(running) as api:
        running.wait(lambda: _listens(port), every_s=0.002)
        row.listening_s = time.perf_counter() - running.started_at
        running.wait_ready()
        row.ready_s = time.perf_counter() - running.started_at
        running.wait(lambda: _answered(api, running.target, text, bench), timeout_s=30)
        row.first_answer_s = time.perf_counter() - running.started_at
    idle = memory(running)
    row.rss_idle_mib = sum(role.rss for role in idle.values())
    row.pss_mib = sum(role.pss for role in idle.values())
    row.uss_mib = sum(role.uss for role in idle.values())
    row.rss_roles_mib = " ".join(f"{name}={role.rss:.1f}" for name, role in idle.items())


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _answered(api: Api, target: Target, text: str, bench: Bench) -> bool:
    try:
        raw = api.post(api.dialect.embed_path, api.dialect.embed_body(text))
        if target.precision == "pseudo":
            return api.dialect.check("embeddings", raw)
        return verify.agrees(target, "embeddings", api.dialect, bench.reference, [text], raw)
    except AnswerError:
        return False
