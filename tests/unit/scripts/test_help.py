"""Each command explains itself by `--help`, also on a terminal that shows ASCII only."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import VERBS
from gateways.core.process_settings import PROCESSES

ROOT = Path(__file__).resolve().parents[3]
CAMPAIGN = max((ROOT / "results" / "campaigns").glob("*/*-full"))


def module_of(file: Path) -> str:
    """Return what `python -m` runs."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")


def is_command(file: Path) -> bool:
    """Return whether a file is a program: it has the guard by which a program starts."""
    tests = [ast.unparse(node.test) for node in ast.parse(file.read_text()).body if isinstance(node, ast.If)]
    return "__name__ == '__main__'" in tests


SCRIPTS = sorted(module_of(file) for file in (ROOT / "scripts").rglob("*.py") if is_command(file))
COMMANDS = [(name,) for name in SCRIPTS] + [("bench",), *(("bench", verb) for verb in VERBS)]


def run(*arguments: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run `python -m …` on a terminal of 80 columns that shows ASCII."""
    ascii_only = {"PATH": os.environ["PATH"], "COLUMNS": "80", "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(  # noqa: S603 our own
        command, cwd=ROOT, env=ascii_only | (environ or {}), capture_output=True, text=True, check=False, timeout=120
    )


def test_the_scripts_were_counted() -> None:
    """A test over an empty list would pass."""
    assert {"scripts.setup", "scripts.lock", "scripts.soak", "scripts.checks.audit"} <= set(SCRIPTS)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_has_help(command: tuple[str, ...]) -> None:
    """Exit code 0 and the usage, and nothing is done."""
    ended = run(*command, "--help")

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("usage: ")
    assert ended.stdout.isascii()


@pytest.mark.parametrize("module", PROCESSES)
def test_a_process_lists_its_settings(module: str) -> None:
    """Each variable that it reads, with its default and what it does; nothing is served."""
    ended = run(module, "--help")

    assert ended.returncode == 0, ended.stderr
    listed = [line.split(" ")[0] for line in ended.stdout.splitlines() if line[:1].isupper()]
    assert listed == [name.upper() for name in PROCESSES[module].model_fields]


def test_a_process_refuses_arguments() -> None:
    """Settings are variables; an argument that nobody reads would be a setting without effect."""
    ended = run("gateways.split.gateway", "--port", "9000")

    assert ended.returncode == 2
    assert ended.stderr == "--port 9000: settings are environment variables, not arguments; --help lists them\n"


@pytest.mark.parametrize(
    "command",
    [("table",), ("recommend", "--rps", "100"), ("simulate",)],
    ids=lambda command: command[0],
)
def test_figures_are_shown_on_a_terminal_of_ascii(command: tuple[str, ...]) -> None:
    """The signs of a table become ASCII of the same meaning; none is lost."""
    ended = run("bench", *command, str(CAMPAIGN.relative_to(ROOT)))

    assert not ended.stderr
    assert ended.stdout.isascii()
    assert "?" not in ended.stdout
    assert ended.stdout
