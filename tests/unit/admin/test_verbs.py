"""The commands for operators: each is listed, has a help text, and names the extra that it lacks."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from gateways.admin.__main__ import EXTRAS, VERBS

ROOT = Path(__file__).resolve().parents[3]
MODULES = sorted(path.stem for path in (ROOT / "gateways/admin").glob("[a-z]*.py"))
ONNX = ROOT / ".venvs/onnx_py/bin/python"


def run(*arguments: str, python: Path = Path(sys.executable)) -> subprocess.CompletedProcess[str]:
    """Run `python -m gateways.admin` without any setting."""
    command = [str(python), "-m", "gateways.admin", *arguments]
    return subprocess.run(command, cwd=ROOT, env={}, capture_output=True, text=True, check=False)  # noqa: S603 our own


def test_every_module_of_the_folder_is_listed() -> None:
    """By its verb, with one line that says what it does."""
    listed = dict(re.findall(r"^  ([a-z-]+) +(\S.*)$", run().stdout, re.MULTILINE))

    assert sorted(verb.replace("-", "_") for verb in listed) == MODULES
    assert listed == VERBS


def test_an_unknown_verb_is_refused_with_the_list() -> None:
    """Exit code 2."""
    ended = run("renindex")

    assert ended.returncode == 2
    assert "'renindex' is not a verb" in ended.stderr
    assert "reindex" in ended.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_has_help(verb: str) -> None:
    """Exit code 0, the usage with the verb's own name, and the purpose; here all extras are installed."""
    ended = run(verb, "--help")

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(f"usage: python -m gateways.admin {verb} ")


@pytest.mark.skipif(not ONNX.is_file(), reason="needs the environment of onnx_py")
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_works_beside_a_gateway_or_names_its_extra(verb: str) -> None:
    """In the environment of onnx_py, which lacks the extra of the bulk verbs: one line with the command to run."""
    ended = run(verb, "--help", python=ONNX)

    if verb.startswith("bulk"):
        assert ended.returncode == 1
        assert re.fullmatch(
            rf"{verb} needs the package (pyarrow|ray): pip install 'embedding-gateways\[bulk\]'\n", ended.stderr
        )
    else:
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.startswith(f"usage: python -m gateways.admin {verb} ")


@pytest.mark.parametrize("package", EXTRAS)
def test_a_package_with_an_extra_is_one_that_the_tests_have(package: str) -> None:
    """A name that nothing can import would hide the extra from a user."""
    assert find_spec(package) is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["n8n", "--scopes", "all"], "Scope 'all' is unknown; choose from read, write, admin."),
        (["n8n", "--scopes", "read,"], "Scope '' is unknown; choose from read, write, admin."),
        (["a name"], "name must match ^[A-Za-z0-9._-]{1,64}$."),
        (["n8n", "--requests-per-minute", "0"], "requests_per_minute must be 1 or more."),
    ],
)
def test_a_wrong_option_of_a_key_is_told_in_a_line(options: list[str], message: str) -> None:
    """Without a key, and without a word of a library."""
    ended = run("new-key", *options)

    assert (ended.returncode, ended.stdout, ended.stderr.strip()) == (1, "", message)
