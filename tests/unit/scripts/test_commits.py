"""Which subjects of commits the hook and CI accept, and what they say about the others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.checks import commits
from tests.support.gateways import ROOT

GOOD = (
    "Refuse an empty index before timing it",
    "Re-export the graphs",
    "Embed passages in batches",
    "Process jobs in order",
    "Speed up the start",
    "Bring back the twin",
    'Revert "Added what nobody needs"',
    "Merge branch 'main' into topic, with a subject that is as long as git happens to make it, which is long",
    "fixup! Refuse an empty index before timing it, as long as that subject was, plus seven",
    "Set " + "x" * 68,
)
BAD = {
    "Added an index": "imperative",
    "Adding an index": "imperative",
    "Adds an index": "imperative",
    "add an index": "verb",
    "The index is refused": "verb",
    "It works": "verb",
    "WIP": "verb",
    "feat: add an index": "verb",
    "Set " + "x" * 69: "73 characters; at most 72",
}


@pytest.mark.parametrize("subject", GOOD)
def test_a_command_is_a_subject(subject: str) -> None:
    """A verb in the imperative and at most 72 characters, or what git writes itself."""
    assert commits.refusal(subject) is None


@pytest.mark.parametrize("subject", BAD)
def test_anything_else_is_refused(subject: str) -> None:
    """The message says which of the two rules it breaks."""
    assert BAD[subject] in (commits.refusal(subject) or "")


def git(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run git in a folder, as nobody in particular."""
    who = {f"GIT_{role}_{field}": "a@b.example" for role in ("AUTHOR", "COMMITTER") for field in ("NAME", "EMAIL")}
    return subprocess.run(  # noqa: S603
        ["git", *words],  # noqa: S607 found on PATH
        cwd=folder,
        env=os.environ | who | {"GIT_CONFIG_GLOBAL": os.devnull},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a repository with the hook of this one, and one commit from before it."""
    assert git(tmp_path, "init", "-q").returncode == 0
    assert git(tmp_path, "commit", "-q", "--allow-empty", "-m", "Begin").returncode == 0
    (tmp_path / "scripts" / "checks").mkdir(parents=True)
    for name in ("scripts/checks/commits.py", ".githooks"):
        (tmp_path / name).symlink_to(ROOT / name)
    assert git(tmp_path, "config", "core.hooksPath", ".githooks").returncode == 0
    return tmp_path


def test_the_hook_refuses_and_accepts(repository: Path) -> None:
    """A commit with a bad subject is not made, and stderr says why; one with a good subject is."""
    refused = git(repository, "commit", "--allow-empty", "-m", "Added a thing\n\nWhy.")
    made = git(repository, "commit", "--allow-empty", "-m", "Add a thing\n\nAdded, since it was missing.")

    assert refused.returncode == 1
    assert "Added, Adding or Adds" in refused.stderr
    assert made.returncode == 0, made.stderr
    assert git(repository, "rev-list", "--count", "HEAD").stdout.strip() == "2"


def test_a_range_is_held_to_the_same_rule(repository: Path) -> None:
    """Each commit of it, also those that went past the hook; the commits before it are not asked."""
    for subject in ("Add a thing", "Adds a thing", "Adding a thing"):
        assert git(repository, "commit", "-q", "--no-verify", "--allow-empty", "-m", subject).returncode == 0

    def check(commits: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "scripts/checks/commits.py"), "--range", commits]
        return subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)  # noqa: S603

    assert check("HEAD~3..HEAD~2").returncode == 0
    wrong = check("HEAD~3..HEAD")
    assert wrong.returncode == 1
    assert wrong.stderr.count("commit subject: ") == 2
