"""Cold start: from exec to listening, to ready, to the first answer that agrees with the reference, to steady."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from bench import agreement, measure, page_cache
from bench.api import Api
from bench.datasets.lengths import ClippedNormal, Words
from bench.datasets.stream import TextStream
from bench.errors import AnswerError
from bench.footprint import models_mb
from bench.plan import Cell, Options
from bench.processes import Running
from bench.records import Row
from bench.sampler import memory
from bench.session import Bench, Live
from bench.targets import Target

HEADLINE = "Seconds from exec to the first validated answer, files in the page cache or not"
VERIFIED = False
# Steady: so many answers in a row whose times are all this near to their median; sought for so long.
STEADY_ANSWERS, STEADY_SHARE, STEADY_TIMEOUT_S = 20, 0.25, 10.0
# All alike in length, or their times would differ for that alone; more than are asked in that time.
ALIKE, ALIKE_TEXTS = ClippedNormal(mean=12, deviation=0, least=12, most=12), 10_000
# A start counts as cold when it fetched at least this share of the model's bytes from storage.
COLD_SHARE = 0.5


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """One cell a target that the harness starts: its replicates are starts."""
    wanted = target.roles and target.ingest and "embeddings" in target.capabilities
    return [Cell(block, target, "cold", "embeddings")] if wanted else []


def run(bench: Bench, cell: Cell, live: Live | None) -> list[Row]:
    """
    Start, time and stop the target: as often as the profile says with warm files, then with cold ones.

    The first start of all warms the files and counts for nothing.
    """
    kinds = ["warm"] * bench.options.profile.starts + ["cold"] * bench.options.profile.cold_starts
    texts = TextStream(bench.reference.squad.texts, bench.seed(cell.block)).take(1 + len(kinds))
    alike = Words(bench.reference.squad.texts, bench.seed(cell.block)).runs(ALIKE, ALIKE_TEXTS)
    _start(bench, cell, 0, "warm", texts[0])
    rows: list[Row] = []
    for replicate, kind in enumerate(kinds, start=1):
        bench.show.step(f"{kind} start", replicate - 1, len(kinds))
        rows.append(_start(bench, cell, replicate, kind, texts[replicate], alike))
    return rows


def _start(bench: Bench, cell: Cell, replicate: int, kind: str, text: str, alike: Sequence[str] = ()) -> Row:
    row = bench.row(cell, replicate)
    row.page_cache = kind
    if kind == "cold":
        page_cache.drop(cell.target)
    with bench.start(cell.target, f"cold{replicate}") as running, Api(running) as api:
        _time(running, api, row, text, bench)
        if kind == "cold" and not _was_cold(running):
            row.codes, row.reason = "E_ENV", "the files could not be dropped from the page cache"
        row.steady_s = _steady_s(running, api, alike)
        if row.steady_s is None and not row.reason:
            row.reason = f"latency was not steady within {STEADY_TIMEOUT_S:.0f} s of the first answer"
    return row


def _time(running: Running, api: Api, row: Row, text: str, bench: Bench) -> None:
    port = running.front.port
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
    row.rss_roles_mib = measure.pairs({name: role.rss for name, role in idle.items()}, 1)
    row.pss_roles_mib = measure.pairs({name: role.pss for name, role in idle.items()}, 1)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _answered(api: Api, target: Target, text: str, bench: Bench) -> bool:
    try:
        raw = _embed(api, text)
        if target.precision == "pseudo":
            return api.dialect.check("embeddings", raw)
        return agreement.agrees(target, "embeddings", api.dialect, bench.reference, [text], raw)
    except AnswerError:
        return False


def _embed(api: Api, text: str) -> bytes:
    return api.post(api.dialect.path("embeddings"), api.dialect.embed_body(text))


def _was_cold(running: Running) -> bool:
    """Whether storage was read; where the system does not say, the kernel is believed to have done as asked."""
    read = page_cache.read_mb(running)
    return read is None or read >= COLD_SHARE * models_mb(running.target)


def _steady_s(running: Running, api: Api, texts: Sequence[str]) -> float | None:
    """Seconds from exec to the first answer from which on latency is steady; None when it is not in time."""
    done_s: list[float] = []
    latencies_s: list[float] = []
    deadline_s = time.perf_counter() + STEADY_TIMEOUT_S
    for text in texts:
        sent_s = time.perf_counter()
        _embed(api, text)
        done_s.append(time.perf_counter() - running.started_at)
        latencies_s.append(time.perf_counter() - sent_s)
        if steady(latencies_s[-STEADY_ANSWERS:]):
            return done_s[-STEADY_ANSWERS]
        if time.perf_counter() > deadline_s:
            break
    return None


def steady(latencies: Sequence[float]) -> bool:
    """Whether enough answers in a row took about the same."""
    middle = float(np.median(latencies))
    near = all(abs(latency - middle) <= STEADY_SHARE * middle for latency in latencies)
    return near and len(latencies) >= STEADY_ANSWERS
