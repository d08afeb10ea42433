"""What is made of runs.csv: ratios, the sentence, the ledger, the report and the README's table."""

from __future__ import annotations

import re
from collections.abc import Iterable
from io import StringIO
from pathlib import Path

import orjson
import pytest
from rich.console import Console

from bench.errors import BenchError
from bench.records import Row, Runs
from bench.report import build, print_summary, summary, tables, verdict
from bench.report.markdown import write as write_table
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


def test_ratios_are_to_the_study_paired_by_block_and_leave_refused_rows_out(tmp_path: Path) -> None:
    """A block in which the baseline was refused has no ratio; the others decide."""
    rows = [*blocks("onnx_py", 180, 90, 500), *blocks("study", 45, 22.5, 40)]
    rows[-1].codes = "E_WRONG"

    line = campaign(tmp_path / "c", rows).lines("closed", "search", 16).loc["onnx_py"]

    assert (line.baseline, line.ratio) == ("study", 4.0)
    assert line.verdict == "faster"


def test_the_floor_never_wins_and_neither_does_a_refused_run(tmp_path: Path) -> None:
    """pseudo is the fastest and a refused target the next; the sentence is about the rest."""
    rows = [row("pseudo", 2000), row("python", 900, codes="E_NOMODEL"), row("onnx_py", 180), row("study", 47)]

    said = verdict.sentence(campaign(tmp_path / "c", rows))

    assert said.startswith("onnx_py won with 180 searches a second at concurrency 16 in 200 MiB: 3.83× study")
    assert said.endswith("(1 block: no interval).")
    assert "pseudo" not in said
    assert "python" not in said


def test_within_five_percent_nobody_wins(tmp_path: Path) -> None:
    """One block cannot part 180 from 178; three blocks can call them equivalent."""
    one = verdict.sentence(campaign(tmp_path / "one", [row("onnx_py", 180), row("split", 178)]))
    rows = [*blocks("onnx_py", 180, 181, 179), *blocks("split", 178, 178, 178)]
    three = verdict.sentence(campaign(tmp_path / "three", rows))

    assert one.startswith("onnx_py and split are too close to tell apart at the top")
    assert three.startswith("onnx_py and split are equivalent at the top")
    assert "interval)" not in three


def test_a_busy_machine_has_no_winner(tmp_path: Path) -> None:
    """Numbers taken while other work had the CPU are shown and decide nothing."""
    rows = [row("onnx_py", 180, codes="E_ENV"), row("study", 45)]
    read = campaign(tmp_path / "c", rows)

    assert verdict.sentence(read).startswith("No winner, since other work took CPU")
    assert read.lines("closed", "search", 16).verdict["onnx_py"] == "inconclusive"


def test_int8_is_told_against_the_best_fp32(tmp_path: Path) -> None:
    """The sentence names the precision, so that int8 is not mistaken for a shape that is faster."""
    rows = [row("onnx_py-int8", 270), row("onnx_py", 180), row("python", 80), row("study", 45)]

    said = verdict.sentence(campaign(tmp_path / "c", rows))

    assert "1.50× onnx_py (fp32; 180; 200 MiB) and 6.00× study (fp32; 45; 200 MiB)" in said


def test_the_twin_is_noise_and_not_a_target(tmp_path: Path) -> None:
    """The A/A twin's worst stray is the band a difference must clear; it is in no table."""
    rows = [*blocks("onnx_py", 180, 180, 180), *blocks("onnx_py~twin", 180, 198, 180)]
    read = campaign(tmp_path / "c", [*rows, *blocks("python", 194, 194, 194)])

    assert summary.noise(read.runs, "search", 16) == pytest.approx(0.1)
    assert verdict.sentence(read).startswith("python and onnx_py are too close to tell apart")
    assert "onnx_py~twin" not in {line[0] for line in tables.results(read).rows}


def test_a_refused_row_is_in_the_ledger_with_its_claim_and_reason(tmp_path: Path) -> None:
    """Nothing is dropped: what it would have said, its codes and why."""
    bad = row("study", 594, scenario="replay_empty_index", codes="E_EMPTY E_NOMODEL")
    read = campaign(tmp_path / "c", [row("onnx_py", 180), bad])

    (line,) = tables.ledger(read).rows

    assert line[:2] == ["study", "replay_empty_index"]
    assert "594.0" in line
    assert "E_EMPTY E_NOMODEL" in line
    assert any("refused: study" in note for note in tables.notes(read))


def test_all_refused_is_said(tmp_path: Path) -> None:
    """With nothing left to rank the sentence says so, and the report is still made."""
    read = campaign(tmp_path / "c", [row("onnx_py", 180, codes="E_PIN")])

    build(read.folder)

    assert verdict.sentence(read).startswith("Nothing to rank")
    assert (read.folder / "report.html").exists()


def test_the_report_is_one_file_with_everything_inside(tmp_path: Path) -> None:
    """Sentence, inline plots and ledger; nothing is loaded from elsewhere, no path of this machine is in it."""
    rows = [*blocks("onnx_py", 180, 181, 182), *blocks("split", 175, 170, 172), *blocks("study", 45, 44, 46)]
    read = campaign(tmp_path / "c", [*rows, row("pseudo", 2000)])

    build(read.folder)
    page = (read.folder / "report.html").read_text()

    assert verdict.sentence(read).split(":")[0] in page
    assert page.count('src="data:image/svg+xml;base64,') >= 4
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert str(tmp_path) not in page
    assert {file.suffix for file in (read.folder / "plots").iterdir()} == {".png", ".svg"}
    assert (read.folder / "summary.csv").read_text().startswith("target,scenario,route,concurrency")


def test_the_table_goes_between_the_markers_and_nowhere_else(tmp_path: Path) -> None:
    """Writing twice changes nothing more; a page without markers is left alone."""
    read = campaign(tmp_path / "c", [row("onnx_py", 180), row("study", 45)])
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- results:begin -->\nold\n<!-- results:end -->\nafter\n")

    write_table(read.folder, page)
    once = page.read_text()
    write_table(read.folder, page)

    assert page.read_text() == once
    assert once.startswith("before\n<!-- results:begin -->\n**onnx_py won")
    assert once.endswith("<!-- results:end -->\nafter\n")
    assert "\nold\n" not in once
    with pytest.raises(BenchError, match="results:begin"):
        write_table(read.folder, read.folder / "runs.csv")


def test_the_terminal_shows_the_table_and_the_sentence(tmp_path: Path) -> None:
    """Every target has its line, and the last words are the sentence and where the report is."""
    read = campaign(tmp_path / "c", [row("onnx_py", 180), row("study", 45)])
    output = StringIO()

    print_summary(read.folder, Console(file=output, width=120))

    assert "onnx_py" in output.getvalue()
    assert "45.0" in output.getvalue()
    assert verdict.sentence(read) in output.getvalue()
