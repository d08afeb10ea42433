"""The conformance program: its matrix, its files, and what its exit code says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.conformance.matrix import Matrix, Row
from tests.support.gateways import ROOT, Fleet

ROWS = [
    Row("a text gives a vector", "pass"),
    Row("a | b is refused", "fail", "200 <html>"),
    Row("`/rerank` ranks", "not offered", "POST /rerank answers 404"),
]


def conformance(target: str, dialect: str, into: Path, name: str = "it") -> subprocess.CompletedProcess[str]:
    """Run the program."""
    command = [
        sys.executable,
        "-m",
        "scripts.checks.conformance",
        target,
        dialect,
        "--name",
        name,
        "--into",
        str(into),
    ]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)  # noqa: S603


def test_each_outcome_has_its_column(tmp_path: Path) -> None:
    """A mark in one column of three, what was seen beside it, and nothing in it that breaks the table."""
    page = Matrix("theirs", "Theirs 1.0", "openai", ROWS).write(tmp_path)

    assert page.name == "theirs-openai.md"
    assert "1 pass, 1 fail, 1 not offered" in page.read_text()
    assert page.read_text().splitlines()[-3:] == [
        "| a text gives a vector | ✓ |  |  |  |",
        "| a \\| b is refused |  | ✓ |  | 200 &lt;html> |",
        "| `/rerank` ranks |  |  | ✓ | POST /rerank answers 404 |",
    ]


def test_the_json_says_the_same(tmp_path: Path) -> None:
    """Counts and rows, for programs."""
    matrix = json.loads(
        Matrix("theirs", "Theirs 1.0", "openai", ROWS).write(tmp_path).with_suffix(".json").read_text()
    )

    assert matrix["counts"] == {"pass": 1, "fail": 1, "not offered": 1}
    assert [row["outcome"] for row in matrix["rows"]] == ["pass", "fail", "not offered"]
    assert matrix["rows"][1]["seen"] == "200 <html>"


def test_a_gateway_that_is_asked_by_name(tmp_path: Path) -> None:
    """A gateway started by name does all of TEI, and the program says so with its exit code."""
    done = conformance("pseudo", "tei", tmp_path)

    matrix = json.loads((tmp_path / "it-tei.json").read_text())
    assert done.returncode == 0, done.stdout
    assert matrix["counts"]["fail"] == matrix["counts"]["not offered"] == 0
    assert matrix["counts"]["pass"] > 50
    assert (tmp_path / "it-tei.md").read_text() in done.stdout


def test_a_server_that_speaks_something_else(fleet: Fleet, tmp_path: Path) -> None:
    """Under `/v1` of a gateway there is Cohere's `/embed`: TEI's rows fail there, and most routes are not offered."""
    done = conformance(f"{fleet.running('pseudo').url}/v1", "tei", tmp_path)

    matrix = json.loads((tmp_path / "it-tei.json").read_text())
    assert done.returncode == 1
    assert matrix["counts"]["fail"] > 5
    assert matrix["counts"]["not offered"] > 5
    assert all(row["seen"] for row in matrix["rows"] if row["outcome"] != "pass")


def test_nobody_there(tmp_path: Path) -> None:
    """A server that does not answer gets no matrix."""
    done = conformance("http://127.0.0.1:9", "tei", tmp_path)

    assert done.returncode == 1
    assert "nobody answers at http://127.0.0.1:9" in done.stderr
    assert not list(tmp_path.iterdir())
