"""Mutants: the list fits the code, and a run tells the killed from the survived."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.checks import mutants
from scripts.checks.mutants import Mutant, Verdict
from tests.support.gateways import ROOT

LISTED = mutants.read_mutants()


def mutant(name: str, new: str, old: str = "a + b", tests: str = "tests/test_add.py") -> Mutant:
    """Return a mutant of the tree below."""
    return Mutant(name, "gateways/add.py", old, new, [tests])


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a tree of one function and its test, which leaves negative numbers out."""
    files = {
        "pyproject.toml": "[tool.pytest.ini_options]\n",
        "gateways/add.py": "def add(a, b):\n    return a + b\n",
        "tests/test_add.py": "from gateways.add import add\n\n\ndef test_add():\n    assert add(2, 3) == 5\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("entry", LISTED, ids=lambda entry: entry.name)
def test_each_mutant_fits_the_code(entry: Mutant) -> None:
    """Its text stands exactly once in the file, it changes something, and its tests are there."""
    assert entry.fits(ROOT)
    assert entry.old != entry.new
    assert entry.tests
    assert [test for test in entry.tests if not (ROOT / test).is_file()] == []


def test_no_two_mutants_have_one_name() -> None:
    """A name in the output is the name of one fault."""
    assert len({entry.name for entry in LISTED}) == len(LISTED)


def test_a_mutant_that_no_test_notices_fails_the_run(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One of two is less than 90 %; the tree itself stays as it was."""
    assert mutants.check([mutant("a product", "a * b"), mutant("positive", "abs(a) + b")], tree) == 1

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["killed", "survived"]
    assert lines[-1] == "mutants: 1 of 2 killed"
    assert "a + b" in (tree / "gateways/add.py").read_text()


def test_a_run_that_kills_all_of_them_passes(tree: Path) -> None:
    """Exit code 0."""
    assert mutants.check([mutant("a product", "a * b"), mutant("a difference", "a - b")], tree) == 0


@pytest.mark.parametrize("old", ["a - b", "a"])
def test_a_mutant_of_another_text_is_stale(tree: Path, old: str) -> None:
    """The text is gone, or stands there several times: the mutant must be written anew."""
    assert mutants.judge(mutant("old", "a * b", old), tree) == "stale"


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ({"killed": 20}, 0),
        ({"killed": 18, "survived": 2}, 0),
        ({"killed": 17, "survived": 3}, 1),
        ({"killed": 20, "stale": 1}, 1),
        ({"killed": 20, "broken": 1}, 1),
    ],
)
def test_nine_of_ten_must_be_killed_and_all_be_judged(verdicts: dict[Verdict, int], code: int) -> None:
    """A mutant that is stale or broken fails the run by itself."""
    assert mutants.exit_code(verdicts) == code


def test_a_mutant_that_cannot_be_imported_fails_the_run(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No test has noticed it: pytest stopped before them."""
    assert mutants.check([mutant("no Python", "a +")], tree) == 1
    assert capsys.readouterr().out.startswith("broken")


def test_tests_that_fail_without_a_mutant_kill_nothing(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The run ends before the first mutant."""
    (tree / "gateways/add.py").write_text("def add(a, b):\n    return a + b + 1\n")

    assert mutants.check([mutant("a product", "a * b")], tree) == 1
    assert capsys.readouterr().out == ""
