"""From the outcomes of a run to its matrix, as Markdown for people and as JSON for programs."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

TITLES = {"openai": "OpenAI's embeddings", "tei": "Text Embeddings Inference"}
COLUMNS = ("pass", "fail", "not offered")
SEEN_CHARACTERS = 240


@dataclass(frozen=True)
class Row:
    """One behaviour: whether the server has it, and what was seen where it has not."""

    behaviour: str
    outcome: str
    seen: str = ""


@dataclass(frozen=True)
class Matrix:
    """What one server does of one dialect; `server` names the files, `title` tells a reader which one it is."""

    server: str
    title: str
    dialect: str
    rows: Sequence[Row]

    def counts(self) -> dict[str, int]:
        """Return how many rows each outcome has."""
        return {column: sum(row.outcome == column for row in self.rows) for column in COLUMNS}

    def markdown(self) -> str:
        """Return a page: the counts, and a line for each behaviour."""
        lines = [
            f"# {TITLES[self.dialect]}: {self.title}",
            "",
            ", ".join(f"{count} {outcome}" for outcome, count in self.counts().items())
            + f" ({datetime.now(UTC):%Y-%m-%d}). Made by `make conformance`.",
            "",
            f"| behaviour | {' | '.join(COLUMNS)} | what was seen |",
            f"|---|{':-:|' * len(COLUMNS)}---|",
            *(_line(row) for row in self.rows),
        ]
        return "\n".join(lines) + "\n"

    def write(self, folder: Path) -> Path:
        """Write both files into `folder`, and return the Markdown's path."""
        folder.mkdir(parents=True, exist_ok=True)
        page = folder / f"{self.server}-{self.dialect}.md"
        page.write_text(self.markdown())
        found = {
            "server": self.server,
            "title": self.title,
            "dialect": self.dialect,
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "counts": self.counts(),
            "rows": [asdict(row) for row in self.rows],
        }
        page.with_suffix(".json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
        return page


def row_of(item: pytest.Function, report: pytest.TestReport) -> Row | None:
    """Return the row that a test's phase decides; None while it is undecided."""
    behaviour = _behaviour(item)
    if report.skipped:
        return Row(behaviour, "not offered", _skip_reason(report))
    if report.failed:
        return Row(behaviour, "fail", _failure(report))
    return Row(behaviour, "pass") if report.when == "call" else None


def _behaviour(item: pytest.Function) -> str:
    """Return the docstring's first line; a word in capitals that is a parameter's name is that parameter's value."""
    line = (item.function.__doc__ or item.name).strip().splitlines()[0].removesuffix(".")
    for name, value in item.callspec.params.items() if hasattr(item, "callspec") else ():
        line = re.sub(rf"\b{name.upper()}\b", lambda _, value=value: _shown(value), line)
    return line


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return json.dumps(value)
    return str(value.name if hasattr(value, "name") else value)


def _skip_reason(report: pytest.TestReport) -> str:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return _short(reason.removeprefix("Skipped: "))


def _failure(report: pytest.TestReport) -> str:
    """Return the first line of what the assertion says; the code that said it is of no interest here."""
    crash = getattr(report.longrepr, "reprcrash", None)
    message = crash.message if crash else str(report.longrepr)
    return _short(message.removeprefix("AssertionError: ").removeprefix("Failed: ").splitlines()[0])


def _short(text: str) -> str:
    return text if len(text) <= SEEN_CHARACTERS else text[: SEEN_CHARACTERS - 3] + "..."


def _line(row: Row) -> str:
    marks = " | ".join("✓" if row.outcome == column else "" for column in COLUMNS)
    return f"| {_cell(row.behaviour)} | {marks} | {_cell(row.seen)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
