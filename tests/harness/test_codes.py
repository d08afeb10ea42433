"""Every refusal code is provoked by a test of this folder, or is listed as impossible to provoke."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import FunctionType

from bench.records.refusal_codes import CODES

# What no test can provoke on a machine that is not its own; the rules' own test has it.
UNIT_ONLY = {
    "E_SWAP": "needs a machine that swaps: tests/unit/bench/records/test_refusal_codes.py",
    "E_QUOTA": "needs a quota on the harness itself: tests/unit/bench/records/test_refusal_codes.py",
}


def proved() -> dict[str, list[str]]:
    """Return the names of this folder's tests, by the codes that they are marked to prove."""
    tests_by_code: dict[str, list[str]] = {}
    for file in Path(__file__).parent.glob("test_*.py"):
        functions = vars(import_module(f"tests.harness.{file.stem}")).values()
        for test in [value for value in functions if isinstance(value, FunctionType)]:
            for mark in getattr(test, "pytestmark", []):
                for code in mark.args if mark.name == "proves" else ():
                    tests_by_code.setdefault(code, []).append(test.__name__)
    return tests_by_code


def test_every_code_is_proved() -> None:
    """A new code without a test that provokes it fails here by its name."""
    assert {code for code in CODES if code not in UNIT_ONLY} - proved().keys() == set()


def test_every_code_that_is_proved_is_one() -> None:
    """A marker names existing codes only, and none that is listed as impossible to provoke."""
    assert proved().keys() <= CODES.keys() - UNIT_ONLY.keys()
