"""Two lanes of tests: both are shown, and one that fails fails the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import test as lanes
from tests.support.gateways import ROOT


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Return two lanes of one test each: one that passes, and one that fails."""
    monkeypatch.setattr(lanes, "CACHE", tmp_path / "cache")
    (tmp_path / "pytest.ini").write_text("[pytest]")
    made = {}
    for name, claim in {"sound": "True", "broken": "False"}.items():
        (tmp_path / f"test_{name}.py").write_text(f"def test_it():\n    assert {claim}\n")
        made[name] = ["-c", str(tmp_path / "pytest.ini"), str(tmp_path / f"test_{name}.py")]
    return made


def test_one_failing_lane_fails_the_run(folders: dict[str, list[str]], capfd: pytest.CaptureFixture[str]) -> None:
    """The exit code is 1; the failure stands in its lane's lines, the closing line of both at the end."""
    assert lanes.run(folders) == 1

    output = capfd.readouterr().out
    assert "broken | E       assert False" in output
    *_, sound, broken, last = output.strip().splitlines()
    assert (sound[:7], "1 passed" in sound) == ("sound: ", True)
    assert (broken[:8], "1 failed" in broken) == ("broken: ", True)
    assert last.startswith("test: FAILED after ")


def test_lanes_that_pass_pass(folders: dict[str, list[str]]) -> None:
    """A lane from which -k takes every test does no harm; a run without a test is a failure."""
    del folders["broken"]
    assert lanes.run({**folders, "again": folders["sound"]}) == 0
    assert lanes.run({**folders, "none": [*folders["sound"], "-k", "nothing"]}) == 0
    assert lanes.run(folders, ["-k", "nothing"]) == 1


def test_a_retry_names_what_passes_only_then(
    folders: dict[str, list[str]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What fails twice fails the run; what passes at the second try is named."""
    assert lanes.run(folders, retry_failed=True) == 1

    once = tmp_path / "test_once.py"
    once.write_text("from pathlib import Path\n\ndef test_it():\n    mark = Path(__file__).with_suffix('.seen')\n")
    with once.open("a") as lines:
        lines.write("    seen = mark.exists()\n    mark.touch()\n    assert seen\n")
    folders["broken"][-1] = str(once)
    assert lanes.run(folders, retry_failed=True) == 0
    assert "retry: passed only at the second try: test_once.py::test_it" in capfd.readouterr().out


def test_a_lane_that_did_not_run_to_its_end_is_not_retried(folders: dict[str, list[str]]) -> None:
    """An error of collection is no failed test: the run fails."""
    folders["broken"][-1] += ".missing"
    assert lanes.run(folders, retry_failed=True) == 1


def test_every_folder_of_a_lane_is_there() -> None:
    """A folder that was renamed would leave its lane without being missed."""
    places = (*lanes.CONTRACT, *lanes.FAULTS, *lanes.OTHERS)
    assert [place for place in places if not (ROOT / place).exists()] == []
