"""Campaign folders with rows made for a test, written and read back as real ones are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

from bench.analysis import summary
from bench.analysis.summary import Campaign
from bench.recommend.choice import Answer, answer
from bench.recommend.needs import Needs
from bench.records.runs_csv import Row, Runs

PRECISION = {"onnx_py-int8": "int8", "pseudo": "pseudo"}
MANIFEST = {
    "schema": 2,
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
BLOCKS = (1, 2, 3)
PERCENTS = (25, 50, 75, 100)
LIMITS = {"p95_ms": 150.0}


def write(folder: Path, targets: Mapping[str, Mapping[str, Any]], rows: Iterable[Row], **manifest: Any) -> Path:
    """Write manifest.json and runs.csv of these targets, with some fields of the manifest replaced; the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_bytes(orjson.dumps(MANIFEST | manifest | {"targets": targets}))
    Runs(folder / "runs.csv").add(list(rows))
    return folder


def facts(name: str, precision: str = "fp32", *, peer: bool = False, **more: Any) -> dict[str, Any]:
    """What a manifest says of a target."""
    return {"title": f"The {name}", "precision": precision, "peer": peer, **more}


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
    targets = {row.target: facts(row.target, PRECISION.get(row.target, "fp32")) for row in kept}
    return summary.load(write(folder, targets, kept))


def blocks(target: str, *rps: float) -> list[Row]:
    """One row a block."""
    return [row(target, value, block) for block, value in enumerate(rps, start=1)]


class OpenLoopTarget:
    """A target that holds `rps` within 150 ms in its open loop; its p95 is 40 ms until there and 400 ms after."""

    def __init__(
        self, name: str, rps: float, roles_mib: Mapping[str, float], cpu_ms: float = 4.0, **overrides: Any
    ) -> None:
        self.name, self.rps, self.roles_mib, self.cpu_ms = name, rps, roles_mib, cpu_ms
        self.description = {**facts(name, ingest=True), "title": name, **overrides}

    def rows(self) -> Iterable[Row]:
        """One row a block and rate, and one above what it holds."""
        for block in BLOCKS:
            for percent in (*PERCENTS, 125):
                peer, precision = bool(self.description["peer"]), str(self.description["precision"])
                row = Row(block, 1, 1, self.name, peer, True, precision, "server", "search")
                row.load_percent, row.offered_rps = percent, self.rps * percent / 100
                row.rps, row.cpu_ms_per_req = min(self.rps, row.offered_rps), self.cpu_ms
                row.p95_ms, row.p99_ms = (40.0, 60.0) if percent <= 100 else (400.0, 600.0)
                row.pss_mib, row.rss_peak_mib = sum(self.roles_mib.values()), 1.1 * sum(self.roles_mib.values())
                row.device = str(self.description.get("device", ""))
                row.rss_roles_mib = " ".join(f"{role}={mib}" for role, mib in self.roles_mib.items())
                yield row


class SearchedTarget(OpenLoopTarget):
    """The same target, where its rate was searched for."""

    def rows(self) -> Iterable[Row]:
        """The same windows as those of a search."""
        for row in super().rows():
            row.scenario, row.slo_ms, row.held = "slo", 150.0, (row.load_percent or 0) <= 100
            yield row


MONOLITH = OpenLoopTarget("onnx_py", 200, {"gateway": 250})
SPLIT = OpenLoopTarget("split", 200, {"embed": 200, "gateway": 90}, cpu_ms=4.5)
FLOOR = OpenLoopTarget("pseudo", 3000, {"gateway": 80}, cpu_ms=0.5, precision="pseudo")
PEER = OpenLoopTarget("infinity", 5000, {"server": 10}, peer=True)


def open_loop(folder: Path, targets: Iterable[OpenLoopTarget]) -> Path:
    """A campaign of these targets on one server core."""
    made = list(targets)
    rows = [row for target in made for row in target.rows()]
    return write(folder, {target.name: target.description for target in made}, rows, slo_ms={"search": 150})


def recommended(folder: Path, targets: Iterable[OpenLoopTarget], needs: Needs) -> Answer:
    """The answer of a campaign with these targets."""
    return answer(summary.load(open_loop(folder / "campaign", targets)), needs)
