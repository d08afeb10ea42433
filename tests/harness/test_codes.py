"""No code without a proof: each is provoked by a test of this folder, or said why it cannot be."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import FunctionType

from bench.validity import CODES

# What no test can provoke on a machine that is not its own; the rules' own test has it.
UNIT_ONLY = {"E_SWAP": "needs a machine that swaps: tests/unit/test_bench_validity.py"}


def proved() -> dict[str, list[str]]:
    """The tests of this folder by the codes they are marked to prove."""
    found: dict[str, list[str]] = {}
    for file in Path(__file__).parent.glob("test_*.py"):
        functions = vars(import_module(f"tests.harness.{file.stem}")).values()
        for test in [value for value in functions if isinstance(value, FunctionType)]:
            for mark in getattr(test, "pytestmark", []):
                for code in mark.args if mark.name == "proves" else ():
                    found.setdefault(code, []).append(test.__name__)
    return found


def test_every_code_is_proved() -> None:
    """A code that is added without a test that provokes it fails here, by its name."""
    assert {code for code in CODES if code not in UNIT_ONLY} - proved().keys() == set()


def test_every_code_that_is_proved_is_one() -> None:
    """A marker names codes that exist, and none that is excused as not to be provoked."""
    assert proved().keys() <= CODES.keys() - UNIT_ONLY.keys()
