"""Reports from runs.csv: ratios, the headline, the ledger, the HTML page and the README's table."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bench.analysis import headline, summary
from bench.errors import BenchError
from bench.records.runs_csv import Row
from bench.report import build, print_summary
from bench.report.tables import results
from bench.report.tables.markdown import write as write_table
from tests.support.campaign_builder import SearchedTarget, blocks, campaign, open_loop, row


def test_ratios_are_to_the_study_paired_by_block_and_leave_refused_rows_out(tmp_path: Path) -> None:
    """A block with a refused baseline has no ratio; the other blocks decide."""
    rows = [*blocks("onnx_py", 180, 188, 184, 190), *blocks("study", 45, 47, 46, 40)]
    rows[-1].codes = "E_WRONG"

    line = campaign(tmp_path / "c", rows).lines("closed", "search", 16).loc["onnx_py"]

    assert (line.baseline, line.ratio) == ("study", pytest.approx(4.0))
    assert line.verdict == "faster"


def test_the_floor_never_wins_and_neither_does_a_refused_run(tmp_path: Path) -> None:
    """pseudo and a refused target are fastest, and the headline is about the others."""
    rows = [row("pseudo", 2000), row("python", 900, codes="E_NOMODEL"), row("onnx_py", 180), row("study", 47)]

    sentence = headline.sentence(campaign(tmp_path / "c", rows))

    assert sentence.startswith(
        "onnx_py came first with 180 searches a second at concurrency 16 in 200 MiB: 3.83× study"
    )
    assert sentence.endswith("(1 block: no interval).")
    assert "pseudo" not in sentence
    assert "python" not in sentence


def test_within_five_percent_nobody_wins(tmp_path: Path) -> None:
    """With one block, 180 against 178 has no winner; three blocks can show equivalence."""
    one_block = headline.sentence(campaign(tmp_path / "one", [row("onnx_py", 180), row("split", 178)]))
    rows = [*blocks("onnx_py", 180, 181, 179), *blocks("split", 178, 178, 178)]
    three_blocks = headline.sentence(campaign(tmp_path / "three", rows))

    assert one_block.startswith("onnx_py came first with 180")
    assert three_blocks.startswith("onnx_py and split are equivalent at the top")
    assert "interval)" not in three_blocks


def test_a_window_that_the_machine_disturbed_is_refused_and_its_repeat_counts(tmp_path: Path) -> None:
    """The first try is in the ledger with its figures; the line has the figures of the second."""
    rows = [row("onnx_py", 90, codes="E_ENV"), row("onnx_py", 180, replicate=2), row("study", 45)]
    read = campaign(tmp_path / "c", rows)

    line = read.lines("closed", "search", 16).loc["onnx_py"]

    assert (line.rps, line["rows"], line.refused_rows, line.codes) == (180, 2, 1, "E_ENV")
    assert headline.sentence(read).startswith("onnx_py came first with 180")
    assert any("90.0" in entry for entry in results.ledger(read).rows)


def test_a_cell_that_was_disturbed_every_time_has_no_number(tmp_path: Path) -> None:
    """A target with disturbed windows only is not ranked."""
    read = campaign(tmp_path / "c", [row("onnx_py", 180, codes="E_ENV"), row("study", 45)])

    assert headline.sentence(read).startswith("Only study was ranked")


def test_int8_is_told_against_the_best_fp32(tmp_path: Path) -> None:
    """The headline names the precision of int8 and compares it with the best fp32 target."""
    rows = [row("onnx_py-int8", 270), row("onnx_py", 180), row("python", 80), row("study", 45)]

    sentence = headline.sentence(campaign(tmp_path / "c", rows))

    assert "1.50× onnx_py (fp32; 180; 200 MiB) and 6.00× study (fp32; 45; 200 MiB)" in sentence


def test_the_twin_is_noise_and_not_a_target(tmp_path: Path) -> None:
    """The pooled spread of the A/A twin is the noise band; the twin is in no table."""
    calm = [*blocks("onnx_py", 180, 180, 180), *blocks("onnx_py~twin", 180, 181, 179)]
    wild = [*blocks("onnx_py", 180, 180, 180), *blocks("onnx_py~twin", 180, 195, 170)]
    quiet, loud = (
        campaign(tmp_path / name, [*rows, *blocks("python", 194, 195, 194)])
        for name, rows in (("quiet", calm), ("loud", wild))
    )

    assert summary.noise(quiet.runs, "search", 16) == pytest.approx(0.014, abs=0.002)
    assert summary.noise(loud.runs, "search", 16) > 0.1
    assert headline.sentence(quiet).startswith("python won")
    assert headline.sentence(loud).startswith("python and onnx_py are too close to tell apart")
    assert "onnx_py~twin" not in {line[0] for line in results.results(loud).rows}


def test_a_refused_row_is_in_the_ledger_with_its_claim_and_reason(tmp_path: Path) -> None:
    """The ledger has the refused row's figures, codes and reason."""
    bad = row("study", 594, scenario="replay_empty_index", codes="E_EMPTY E_NOMODEL")
    read = campaign(tmp_path / "c", [row("onnx_py", 180), bad])

    (line,) = results.ledger(read).rows

    assert line[:2] == ["study", "replay_empty_index"]
    assert "594.0" in line
    assert "E_EMPTY E_NOMODEL" in line
    assert any("refused: study" in note for note in results.notes(read))


def test_all_refused_is_said(tmp_path: Path) -> None:
    """With nothing to rank, the headline says so and the report is written."""
    read = campaign(tmp_path / "c", [row("onnx_py", 180, codes="E_PIN")])

    build(read.folder)

    assert headline.sentence(read).startswith("Nothing to rank")
    assert (read.folder / "report.html").exists()


def test_the_report_is_one_file_with_everything_inside(tmp_path: Path) -> None:
    """Headline, inline plots and ledger are in one file without external resources or local paths."""
    rows = [*blocks("onnx_py", 180, 181, 182), *blocks("split", 175, 170, 172), *blocks("study", 45, 44, 46)]
    read = campaign(tmp_path / "c", [*rows, row("pseudo", 2000)])

    build(read.folder)
    page = (read.folder / "report.html").read_text()

    assert headline.sentence(read).split(":")[0] in page
    assert page.count('src="data:image/svg+xml;base64,') >= 3
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert str(tmp_path) not in page
    assert {file.suffix for file in (read.folder / "plots").iterdir()} == {".png", ".svg"}
    assert (read.folder / "summary.csv").read_text().startswith("target,scenario,route,concurrency")


def test_the_table_goes_between_the_markers_and_nowhere_else(tmp_path: Path) -> None:
    """Writing twice changes nothing; a page without markers is not changed."""
    read = campaign(tmp_path / "c", [row("onnx_py", 180), row("study", 45)])
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- results:begin -->\nold\n<!-- results:end -->\nafter\n")

    write_table(read.folder, page)
    once = page.read_text()
    write_table(read.folder, page)

    assert page.read_text() == once
    assert once.startswith("before\n<!-- results:begin -->\n**onnx_py came first")
    assert once.endswith("<!-- results:end -->\nafter\n")
    assert "\nold\n" not in once
    with pytest.raises(BenchError, match="results:begin"):
        write_table(read.folder, read.folder / "runs.csv")


def test_the_terminal_shows_the_table_and_the_sentence(tmp_path: Path) -> None:
    """Every target has a line; the headline and the report's path come last."""
    read = campaign(tmp_path / "c", [row("onnx_py", 180), row("study", 45)])
    output = StringIO()

    print_summary(read.folder, Console(file=output, width=120))

    assert "onnx_py" in output.getvalue()
    assert "45.0" in output.getvalue()
    assert headline.sentence(read) in output.getvalue()
    assert output.getvalue().strip().endswith("report.html")


def held(target: str, rps: float, route: str = "search", **values: object) -> list[Row]:
    """Return the windows of a search in three blocks: a rate that is held, and one that is not."""
    given = {"scenario": "slo", "route": route, "concurrency": None, "slo_ms": 150.0, "pss_mib": 200.0}
    return [
        row(target, offered, block, offered_rps=offered, held=offered == rps, **given, **values)
        for block in (1, 2, 3)
        for offered in (rps, 1.1 * rps)
    ]


def test_a_rate_that_was_searched_for_is_the_headline(tmp_path: Path) -> None:
    """The rate held within the limit comes before the closed loop, with its bounds and those of its rivals."""
    closed = [row("onnx_py", 900), row("onnx_py-int8", 180)]
    read = campaign(tmp_path / "c", [*closed, *held("onnx_py-int8", 300), *held("onnx_py", 200)])

    assert headline.sentence(read) == (
        "onnx_py-int8 holds the most: onnx_py-int8 300 searches a second with p99 ≤ 150 ms (300 to 330; 200 MiB), "
        "onnx_py 200 (fp32; 200 to 220; 200 MiB)."
    )


def test_memory_that_was_not_seen_is_no_number(tmp_path: Path) -> None:
    """An external server has a rate and no memory."""
    unseen = held("onnx_py", 200, rss_steady_mib=None, rss_roles_mib="")
    for made in unseen:
        made.pss_mib = None

    assert headline.sentence(campaign(tmp_path / "c", unseen)).endswith("(200 to 220; memory not seen).")


def test_rates_that_cannot_be_told_apart_have_no_winner(tmp_path: Path) -> None:
    """A rate within the noise of another is no claim."""
    read = campaign(tmp_path / "c", [*held("onnx_py", 200), *held("split", 196)])

    assert headline.sentence(read).startswith("onnx_py and split cannot be told apart: onnx_py 200 searches")


def test_a_mix_comes_before_questions_of_a_few_words(tmp_path: Path) -> None:
    """It is work like that of users."""
    read = campaign(tmp_path / "c", [*held("onnx_py", 200), *held("onnx_py", 40, "mix-rag")])

    assert "40 requests of mix-rag a second" in headline.sentence(read)


def test_the_terminal_ends_with_what_decides(tmp_path: Path) -> None:
    """The rate held within the limit, and what is recommended for usual rates."""
    folder = open_loop(tmp_path / "c", [SearchedTarget("onnx_py", 200, {"gateway": 250})])
    output = StringIO()

    print_summary(folder, Console(file=output, width=120))

    assert "search: rate of one server with p99 ≤ 150 ms" in output.getvalue()
    assert "200 to 250" in output.getvalue()
    assert "For 500 searches a second with p99 ≤ 150 ms: 4 × onnx_py" in output.getvalue()
