"""The index of results/: the committed pages are current, and follow what is measured and what is cited."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import paths
from bench.errors import BenchError
from scripts.checks.results_index import main, render
from tests.support.campaign_builder import blocks, campaign

MACHINE = "cpu-2c"
ROWS = [*blocks("onnx_py", 100, 102, 104), *blocks("python", 50, 51, 52)]
SOAK = "second,status_200,status_429,gateway_pss_mib\n300.0,7,1,100.0\n600.0,5,,110.0\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a repository with a document, a campaign, a study and two soaks of one day, with its index written."""
    results = tmp_path / "results"
    for folder in (f"campaigns/{MACHINE}", f"studies/{MACHINE}/2026-11-21-int8", f"soak/{MACHINE}/2026-11-22"):
        (results / folder).mkdir(parents=True)
    campaign(results / "campaigns" / MACHINE / "2026-11-21T0200-quick", ROWS)
    for folder in ("2026-11-22", "2026-11-22T1920"):
        soak = results / "soak" / MACHINE / folder
        soak.mkdir(exist_ok=True)
        (soak / "onnx_py-calm.csv").write_text(SOAK)
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text(f"[soak](results/soak/{MACHINE}/2026-11-22)\n")
    assert main(["--root", str(tmp_path)]) == 0
    return tmp_path


def index(repository: Path, kind: str = "") -> list[str]:
    """Return the lines of an index page."""
    return (repository / "results" / kind / "README.md").read_text(encoding="utf-8").splitlines()


def row(repository: Path, name: str, kind: str = "") -> str:
    """Return the one table row with a name."""
    [line] = [line for line in index(repository, kind) if f"{name}" in line and line.startswith("| 2")]
    return line


def test_the_committed_index_is_current() -> None:
    """The script would write what is committed."""
    for page, text in render(paths.ROOT).items():
        assert page.read_text(encoding="utf-8") == text, "write it again: python -m scripts.checks.results_index"


def test_a_current_index_passes_the_check(repository: Path) -> None:
    """A check of what was just written exits with 0."""
    assert main(["--check", "--root", str(repository)]) == 0


def test_a_campaign_has_its_verdict_and_its_commit(repository: Path) -> None:
    """The row has the headline sentence; without a report.html there is no link to one."""
    line = row(repository, "2026-11-21T0200-quick")

    assert "| quick | onnx_py won with 102 searches a second" in line
    assert "report.html" not in line


def test_a_new_citation_makes_the_index_stale(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The check names the page and the command, and writing it again adds the link."""
    page = repository / "docs" / "page.md"
    page.write_text(f"[a campaign](../results/campaigns/{MACHINE}/2026-11-21T0200-quick/report.html)\n")

    assert row(repository, "2026-11-21T0200-quick").endswith("| – |")
    assert main(["--check", "--root", str(repository)]) == 1
    assert "results/README.md. Write them again: python -m scripts.checks.results_index" in capsys.readouterr().err
    assert main(["--root", str(repository)]) == 0
    assert row(repository, "2026-11-21T0200-quick").endswith("| [docs/page.md](../docs/page.md) |")


def test_a_new_campaign_makes_the_index_stale(repository: Path) -> None:
    """The newest campaign is the first row."""
    campaign(repository / "results" / "campaigns" / MACHINE / "2026-11-23T0000-full", ROWS)

    assert main(["--check", "--root", str(repository)]) == 1
    assert main(["--root", str(repository)]) == 0
    rows = [line for line in index(repository) if line.startswith("| 2")]
    assert ["2026-11-23T0000-full" in line for line in rows] == [True, False]


def test_a_citation_counts_for_the_folder_it_names(repository: Path) -> None:
    """The soak of a day is not the second soak of that day, though its name begins the other's."""
    assert row(repository, "/2026-11-22/", "soak").endswith("| [README.md](../../README.md) |")
    assert row(repository, "/2026-11-22T1920/", "soak").endswith("| – |")


def test_a_soak_is_counted_from_its_rows(repository: Path) -> None:
    """Answers are summed over the seconds; memory is that after minute 5 and at the end."""
    assert "| no faults | 10 | 12 | 0 | 1 | 0 | 0 | 100 → 110 |" in row(repository, "/2026-11-22/", "soak")


def test_an_archived_campaign_stays_in_the_index(repository: Path) -> None:
    """The row says in which commit, and at which path, its files are."""
    (repository / "results" / "campaigns" / "archived.csv").write_text(
        "machine,id,commit,path,summary\ncpu-2c,2026-11-20T0000-quick,abc1234,results/cpu-2c/x,split won.\n"
    )

    assert main(["--root", str(repository)]) == 0
    assert row(repository, "2026-11-20T0000-quick").endswith("| `abc1234:results/cpu-2c/x` | split won. |")


def test_an_unknown_kind_of_study_is_named(repository: Path) -> None:
    """The error has the folder's name and the kinds that there are."""
    (repository / "results" / "studies" / MACHINE / "2026-11-21-guess").mkdir()

    with pytest.raises(BenchError, match=r"2026-11-21-guess is no study: the kinds are costs, filters, fusion"):
        render(repository)
