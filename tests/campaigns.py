"""Campaign folders with rows made for a test, written and read back as real ones are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import orjson

from bench.records import Row, Runs
from bench.report import summary
from bench.report.summary import Campaign

PRECISION = {"onnx_py-int8": "int8", "pseudo": "pseudo"}


def row(target: str, rps: float, block: int = 1, **values: object) -> Row:
    """A good row of the search sweep at 16, with these values changed."""
    made = Row(
        block=block,
        replicate=1,
        seed=block,
        target=target,
        peer=target == "study",
        ranked=target != "pseudo",
        precision=PRECISION.get(target, "fp32"),
        scenario="closed",
        route="search",
        concurrency=16,
        rps=rps,
        p50_ms=16_000 / rps,
        p95_ms=20_000 / rps,
        p99_ms=24_000 / rps,
        cpu_ms_per_req=1000 / rps,
        rss_steady_mib=200.0,
        rss_peak_mib=210.0,
        rss_roles_mib="embed=130.0 gateway=70.0" if target == "split" else "gateway=200.0",
    )
    for name, value in values.items():
        setattr(made, name, value)
    return made


def campaign(folder: Path, rows: Iterable[Row]) -> Campaign:
    """A campaign folder with these rows, read back."""
    kept = list(rows)
    names = list(dict.fromkeys(row.target for row in kept))
    facts = {
        name: {"title": f"The {name}", "precision": PRECISION.get(name, "fp32"), "peer": False} for name in names
    }
    manifest = {
        "schema": 2,
        "targets": facts,
        "scenarios": ["closed"],
        "machine": {"cpu": "Test CPU", "cores": 2, "memory_gib": 24.0},
        "pinning": {"server": [1], "driver": [0]},
        "profile": {"name": "quick"},
        "started_utc": "2026-11-21T02:00:00+00:00",
        "git": {"sha": None, "dirty": None},
        "corpus": {"name": "SQuAD v2 dev", "passages": 1204},
        "client_ceiling_rps": {"search": {"16": 4000.0}},
        "command": "python -m bench run --profile quick",
    }
    folder.mkdir(exist_ok=True)
    (folder / "manifest.json").write_bytes(orjson.dumps(manifest))
    Runs(folder / "runs.csv").add(kept)
    return summary.load(folder)


def blocks(target: str, *rps: float) -> list[Row]:
    """One row a block."""
    return [row(target, value, block) for block, value in enumerate(rps, start=1)]
