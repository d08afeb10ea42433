"""Cold start: times from exec to listening, ready, the first answer that agrees with the reference, and steady."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from bench.datasets.lengths import ClippedNormal, Words
from bench.datasets.unseen_texts import TextStream
from bench.errors import AnswerError
from bench.measurement import observation, page_cache
from bench.measurement.disk_footprint import models_mb
from bench.measurement.plan import Cell, Options
from bench.measurement.process_sampler import memory, total
from bench.measurement.session import Bench
from bench.records.runs_csv import Row
from bench.targets import Target
from bench.targets.api_client import Api
from bench.targets.processes import Server
from bench.verification import agreement

HEADLINE = "Seconds from exec to the first validated answer, with and without files in the page cache"
# Steady: 20 consecutive latencies, each within 25 % of their median, within 10 s of the first answer.
STEADY_ANSWERS, STEADY_SHARE, STEADY_TIMEOUT_S = 20, 0.25, 10.0
# Texts of equal length, because latency depends on length; 10,000 is more than are sent in STEADY_TIMEOUT_S.
EQUAL_LENGTH, EQUAL_TEXTS = ClippedNormal(mean=12, std_dev=0, min_tokens=12, max_tokens=12), 10_000
# A start is cold if it read at least this share of the model's bytes from storage.
COLD_SHARE = 0.5


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """Return one cell for a target that the harness starts; its replicates are starts."""
    applies = target.roles and target.ingest and "embeddings" in target.capabilities
    return [Cell(block, target, "cold", "embeddings")] if applies else []


def run_alone(bench: Bench, cell: Cell) -> list[Row]:
    """
    Time the profile's number of starts with warm files, then with cold files; return a row per start.

    The first start of all only fills the page cache and is not recorded.
    """
    kinds = ["warm"] * bench.options.profile.starts + ["cold"] * bench.options.profile.cold_starts
    texts = TextStream(bench.reference.squad.texts, bench.seed(cell.block)).take(1 + len(kinds))
    equal = Words(bench.reference.squad.texts, bench.seed(cell.block)).cut(EQUAL_LENGTH, EQUAL_TEXTS)
    _measure_start(bench, cell, 0, "warm", texts[0])
    rows: list[Row] = []
    for replicate, kind in enumerate(kinds, start=1):
        bench.show.step(f"{kind} start", replicate - 1, len(kinds))
        rows.append(_measure_start(bench, cell, replicate, kind, texts[replicate], equal))
    return rows


def _measure_start(bench: Bench, cell: Cell, replicate: int, kind: str, text: str, equal: Sequence[str] = ()) -> Row:
    row = bench.row(cell, replicate)
    row.page_cache = kind
    if kind == "cold":
        page_cache.drop(cell.target)
    with bench.start(cell.target, f"cold{replicate}") as server, Api(server) as api:
        _time_phases(server, api, row, text, bench)
        if kind == "cold" and not _was_cold(server):
            row.codes, row.reason = "E_ENV", "the files could not be dropped from the page cache"
        row.steady_s = _measure_steady_s(server, api, equal)
        if row.steady_s is None and not row.reason:
            row.reason = f"latency was not steady within {STEADY_TIMEOUT_S:.0f} s of the first answer"
    return row


def _time_phases(server: Server, api: Api, row: Row, text: str, bench: Bench) -> None:
    port = server.front.port
    server.wait(lambda: _listens(port), every_s=0.002)
    row.listening_s = time.perf_counter() - server.started_at
    server.wait_ready()
    row.ready_s = time.perf_counter() - server.started_at
    server.wait(lambda: _answers_correctly(api, server.target, text, bench), timeout_s=30)
    row.first_answer_s = time.perf_counter() - server.started_at
    idle = memory(server)
    row.rss_idle_mib = total(role.rss for role in idle.values())
    row.pss_mib = total(role.pss for role in idle.values())
    row.uss_mib = total(role.uss for role in idle.values())
    row.rss_roles_mib = observation.pairs({name: role.rss for name, role in idle.items()}, 1)
    row.pss_roles_mib = observation.pairs({name: role.pss for name, role in idle.items()}, 1)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _answers_correctly(api: Api, target: Target, text: str, bench: Bench) -> bool:
    try:
        raw = _embed(api, text)
        if target.precision == "pseudo":
            return api.dialect.check("embeddings", raw)
        return agreement.agrees(target, "embeddings", api.dialect, bench.reference, [text], raw)
    except AnswerError:
        return False


def _embed(api: Api, text: str) -> bytes:
    return api.post(api.dialect.path("embeddings"), api.dialect.embed_body(text))


def _was_cold(server: Server) -> bool:
    """Return whether the start read the model from storage; True if the system hides the read bytes."""
    read = page_cache.read_mb(server)
    return read is None or read >= COLD_SHARE * models_mb(server.target)


def _measure_steady_s(server: Server, api: Api, texts: Sequence[str]) -> float | None:
    """Return the seconds from exec to the first steady answer; None if latency is not steady in time."""
    done_s: list[float] = []
    latencies_s: list[float] = []
    deadline_s = time.perf_counter() + STEADY_TIMEOUT_S
    for text in texts:
        sent_s = time.perf_counter()
        _embed(api, text)
        done_s.append(time.perf_counter() - server.started_at)
        latencies_s.append(time.perf_counter() - sent_s)
        if steady(latencies_s[-STEADY_ANSWERS:]):
            return done_s[-STEADY_ANSWERS]
        if time.perf_counter() > deadline_s:
            break
    return None


def steady(latencies: Sequence[float]) -> bool:
    """Return whether the latencies are enough and all near their median."""
    middle = float(np.median(latencies))
    near = all(abs(latency - middle) <= STEADY_SHARE * middle for latency in latencies)
    return near and len(latencies) >= STEADY_ANSWERS
