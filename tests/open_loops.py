"""Campaigns with an open loop made for a test: targets that hold a rate, and what is recommended of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

from bench.recommend.answer import Answer, answer
from bench.recommend.needs import Needs
from bench.records import Row, Runs
from bench.report.summary import load

BLOCKS = (1, 2, 3)
PERCENTS = (25, 50, 75, 100)
LIMITS = {"p95_ms": 150.0}


class Made:
    """A target that holds `rps` within 150 ms in its open loop; its p95 is 40 ms until there and 400 ms after."""

    def __init__(
        self, name: str, rps: float, roles_mib: Mapping[str, float], cpu_ms: float = 4.0, **told: Any
    ) -> None:
        self.name, self.rps, self.roles_mib, self.cpu_ms = name, rps, roles_mib, cpu_ms
        self.told = {"title": name, "precision": "fp32", "peer": False, "ingest": True, **told}

    def rows(self) -> Iterable[Row]:
        """One row a block and rate, and one above what it holds."""
        for block in BLOCKS:
            for percent in (*PERCENTS, 125):
                peer, precision = bool(self.told["peer"]), str(self.told["precision"])
                row = Row(block, 1, 1, self.name, peer, True, precision, "server", "search")
                row.percent, row.offered_rps = percent, self.rps * percent / 100
                row.rps, row.cpu_ms_per_req = min(self.rps, row.offered_rps), self.cpu_ms
                row.p95_ms, row.p99_ms = (40.0, 60.0) if percent <= 100 else (400.0, 600.0)
                row.pss_mib, row.rss_peak_mib = sum(self.roles_mib.values()), 1.1 * sum(self.roles_mib.values())
                row.device = str(self.told.get("device", ""))
                row.rss_roles_mib = " ".join(f"{role}={mib}" for role, mib in self.roles_mib.items())
                yield row


MONOLITH = Made("onnx_py", 200, {"gateway": 250})
SPLIT = Made("split", 200, {"embed": 200, "gateway": 90}, cpu_ms=4.5)
FLOOR = Made("pseudo", 3000, {"gateway": 80}, cpu_ms=0.5, precision="pseudo")
PEER = Made("infinity", 5000, {"server": 10}, peer=True)


def asked(tmp_path: Path, made: Iterable[Made], needs: Needs) -> Answer:
    """The answer of a campaign with these targets."""
    return answer(load(campaign(tmp_path / "campaign", made)), needs)


def campaign(folder: Path, made: Iterable[Made]) -> Path:
    """A campaign of these targets on one server core."""
    folder.mkdir()
    targets = {one.name: one.told for one in made}
    manifest = {
        "schema": 2,
        "targets": targets,
        "pinning": {"server": [1]},
        "started_utc": "2026-01-01",
        "slo_ms": {"search": 150},
    }
    (folder / "manifest.json").write_bytes(orjson.dumps(manifest))
    Runs(folder / "runs.csv").add([row for one in made for row in one.rows()])
    return folder
