"""A small campaign with rows of every scenario, made by formulas from a seed: the layout is what they are for."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.records.runs_csv import TWIN, Row
from tests.support import campaign_builder

Values = dict[str, Any]

BLOCKS = 5
SLO_MS = 150.0
ROUTES = ("search", "embeddings")
PUBLISHED = "study-as-published"
SCENARIOS = (
    "cold quality single closed server offline rerank mixed cache overload crowd burst soak replay_empty_index"
)
MANIFEST: dict[str, Any] = {
    "scenarios": SCENARIOS.split(),
    "machine": {"cpu": "Layout CPU", "cores": 2, "memory_gib": 24.0},
    "profile": {"name": "full"},
    "slo_ms": {"search": SLO_MS, "embeddings": SLO_MS},
    "client_ceiling_rps": {"search": {"16": 4000.0}, "embeddings": {"16": 4000.0}},
    "command": "python -m bench run --profile full --peers",
}


@dataclass(frozen=True)
class Made:
    """A target that never was: requests a second at most, and what it would have in memory."""

    name: str
    rps: float
    roles_mib: dict[str, float]
    start_s: float
    precision: str = "fp32"
    peer: bool = False
    rerank: bool = True


MADE = (
    Made("onnx_py", 240, {"gateway": 215}, 1.1),
    Made("onnx_py-int8", 560, {"gateway": 166}, 0.8, precision="int8"),
    Made("python", 190, {"gateway": 640}, 6.2),
    Made("split", 236, {"embed": 212, "gateway": 88}, 1.4),
    Made("pseudo", 3400, {"gateway": 61}, 0.5, precision="pseudo", rerank=False),
    Made("study", 66, {"gateway": 840}, 7.4, peer=True, rerank=False),
    Made("onnx_py" + TWIN, 241, {"gateway": 215}, 1.1),
)


def write(folder: Path, blocks: int = BLOCKS) -> Path:
    """The campaign's folder: manifest.json and runs.csv."""
    chance = random.Random(1)  # noqa: S311  (reproducible, not secret)
    rows = [row for block in range(1, blocks + 1) for made in MADE for row in _block(made, block, chance)]
    targets = {made.name: campaign_builder.facts(made.name, made.precision, peer=made.peer) for made in MADE}
    published = {PUBLISHED: campaign_builder.facts(PUBLISHED, peer=True)}
    return campaign_builder.write(folder, targets | published, [*rows, *_refused()], **MANIFEST)


def _block(made: Made, block: int, chance: random.Random) -> Iterator[Row]:
    speed = made.rps * chance.gauss(1, 0.015)
    yield from (_closed(made, block, speed, route, c) for route in ROUTES for c in (1, 4, 16, 64))
    yield from (_server(made, block, speed, percent) for percent in (40, 60, 75, 85, 95, 105))
    yield from (_row(made, block, "single", route, 1, **_times(1400 / speed)) for route in ROUTES)
    yield from (_offline(made, block, speed, batch) for batch in (32, 64, 128))
    if made.rerank:
        yield from (_rerank(made, block, speed, k) for k in (20, 50, 100))
    if block == 1:
        yield from _once(made, speed)


def _row(made: Made, block: int, scenario: str, route: str = "", c: int | None = None, **values: Any) -> Row:
    rss = sum(made.roles_mib.values())
    row = Row(block, 1, block, made.name, made.peer, made.precision != "pseudo", made.precision, scenario, route, c)
    row.rss_idle_mib, row.rss_steady_mib, row.rss_peak_mib, row.rss_recovered_mib = 0.9 * rss, rss, 1.1 * rss, rss
    row.pss_mib, row.uss_mib = 0.9 * rss, 0.85 * rss
    row.rss_roles_mib = " ".join(f"{role}={mib:.1f}" for role, mib in made.roles_mib.items())
    for name, value in values.items():
        setattr(row, name, value)
    return row


def _times(p50_ms: float, tail: float = 1.4) -> Values:
    return {"p50_ms": p50_ms, "p95_ms": p50_ms * (1 + tail) / 2, "p99_ms": p50_ms * tail}


def _closed(made: Made, block: int, speed: float, route: str, c: int) -> Row:
    rps = speed * c / (c + 1) * (1.08 if route == "embeddings" else 1)
    costs: Values = {"cpu_ms_per_req": 1000 / speed, "ceiling_rps": 27_000.0}
    return _row(made, block, "closed", route, c, rps=rps, **_times(1000 * c / rps), **costs)


def _server(made: Made, block: int, speed: float, percent: int) -> Row:
    busy = min(percent / 100, 0.995 if percent < 100 else 0.9995)
    waited = _times(1000 / speed / (1 - busy) ** 0.8, 2.6)
    offered = speed * percent / 100
    load: Values = {"load_percent": percent, "offered_rps": offered, "rps": min(offered, speed), "slo_ms": SLO_MS}
    good = min(offered, speed) * (1.0 if percent < 90 else 0.6)
    return _row(made, block, "server", "search", **load, goodput_rps=good, **waited)


def _offline(made: Made, block: int, speed: float, batch: int) -> Row:
    texts = speed * (0.9 + 0.1 * math.log2(batch / 32))
    done: Values = {"texts_per_s": texts, "tokens_per_s": 230 * texts, "rps": texts / batch}
    return _row(made, block, "offline", "embeddings", batch=batch, **done, **_times(1000 * batch / texts))


def _rerank(made: Made, block: int, speed: float, k: int) -> Row:
    pairs = 0.6 * speed
    return _row(
        made, block, "rerank", "rerank", batch=k, pairs_per_s=pairs, rps=pairs / k, **_times(1000 * k / pairs)
    )


def _once(made: Made, speed: float) -> Iterator[Row]:
    """What a campaign does in its first block only."""
    yield from (_start(made, cache, replicate) for cache in ("warm", "cold") for replicate in range(1, 4))
    yield from _verification(made, speed)
    yield from (
        _row(made, 1, "mixed", "search", mixed_percent=mix, **_times(3000 / speed, 2 + mix / 50)) for mix in (0, 100)
    )
    shed: Values = {"goodput_kept": 0.97, "goodput_rps": 0.3 * speed, "shed": 900, "slo_ms": SLO_MS}
    for level in (1, 2, 3):
        offered: Values = {"load_percent": 100 * level, "offered_rps": level * speed, "rps": 0.97 * speed}
        yield _row(made, 1, "overload", "search", **offered, **shed, **_times(4000 / speed, 3))
    yield _row(made, 1, "crowd", "search", 1_500, rps=0.9 * speed, **shed, **_times(4000 / speed, 3))
    hits = {percent: speed * (1 + percent / 200) for percent in (0, 50, 90)}
    yield from (
        _row(made, 1, "cache", "search", 16, repeat_percent=percent, rps=rps) for percent, rps in hits.items()
    )
    yield _row(made, 1, "burst", "search", recovery_s=300 / speed, load_percent=50, **_times(5000 / speed, 5))
    agrees: Values = {"client": "wrk", "reason": "agrees with the driver: +0.4 %"}
    yield _row(made, 1, "second_opinion", "search", 16, rps=speed, **agrees)
    yield _row(made, 1, "soak", "search", 8, rss_mib_per_min=0.02, duration_s=60.0)


def _start(made: Made, cache: str, replicate: int) -> Row:
    first = made.start_s * (1 + 0.01 * replicate) * (1.9 if cache == "cold" else 1)
    shares = {"listening_s": 0.6, "ready_s": 0.95, "first_answer_s": 1.0, "steady_s": 1.2}
    phases: Values = {name: share * first for name, share in shares.items()}
    return _row(made, 1, "cold", "embeddings", page_cache=cache, replicate=replicate, **phases)


def _verification(made: Made, speed: float) -> Iterator[Row]:
    """What verifying found, and how good the answers are; the floor has no model to be good or bad."""
    verified = _row(made, 1, "verify", ingest_texts_per_s=0.2 * speed, environment_mb=250.0)
    yield verified
    if made.precision == "pseudo":
        return
    verified.cosine_min, verified.cosine_mean, verified.documents, verified.model_mb = 0.9995, 0.9999, 1204, 91.0
    for route, gain in {"search": 0.0, "search-hybrid": 0.03, "search-reranked": 0.06}.items():
        ndcg = 0.79 + gain - (0.01 if made.precision == "int8" else 0)
        scores: Values = {"hit1": ndcg - 0.15, "hit5": ndcg + 0.1, "ndcg10": ndcg, "reference_ndcg10": 0.79}
        yield _row(made, 1, "quality", route, questions=500, **scores)


def _refused() -> list[Row]:
    """The replay of the published study, and one window that the machine disturbed."""
    published = Made(PUBLISHED, 594, {"gateway": 800}, 7.0, peer=True)
    replay = _row(published, 1, "replay_empty_index", "search", 16, rps=594.0, client="httpx")
    replay.ranked, replay.codes, replay.ceiling_rps = False, "E_EMPTY E_NOMODEL E_CLIENT", 640.0
    replay.requests = replay.empties = 2000
    busy = _closed(MADE[2], 1, 90.0, "search", 16)
    busy.replicate, busy.codes = 2, "E_ENV"
    return [replay, busy]
