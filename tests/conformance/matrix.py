"""The matrix of a run: the outcome of each test, as Markdown for people and as JSON for programs."""

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
    """One behaviour and its outcome, one of COLUMNS. `seen` is the server's answer if the outcome is not "pass"."""

    behaviour: str
    outcome: str
    seen: str = ""


@dataclass(frozen=True)
class Matrix:
    """The behaviours of one server in one dialect. `server` names the files, `title` is the heading of the page."""

    server: str
    title: str
    dialect: str
    rows: Sequence[Row]

    def count_outcomes(self) -> dict[str, int]:
        """Return the number of rows per outcome."""
        return {column: sum(row.outcome == column for row in self.rows) for column in COLUMNS}

    def render_markdown(self) -> str:
        """Return a Markdown page with the counts and a line per behaviour."""
        lines = [
            f"# {TITLES[self.dialect]}: {self.title}",
            "",
            ", ".join(f"{count} {outcome}" for outcome, count in self.count_outcomes().items())
            + f" ({datetime.now(UTC):%Y-%m-%d}). Made by `make conformance`.",
            "",
            f"| behaviour | {' | '.join(COLUMNS)} | what was seen |",
            f"|---|{':-:|' * len(COLUMNS)}---|",
            *(_format_row(row) for row in self.rows),
        ]
        return "\n".join(lines) + "\n"

    def write(self, folder: Path) -> Path:
        """Write both files into `folder`, and return the path of the Markdown file."""
        folder.mkdir(parents=True, exist_ok=True)
        page = folder / f"{self.server}-{self.dialect}.md"
        page.write_text(self.render_markdown())
        document = {
            "server": self.server,
            "title": self.title,
            "dialect": self.dialect,
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "counts": self.count_outcomes(),
            "rows": [asdict(row) for row in self.rows],
        }
        page.with_suffix(".json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
        return page


def make_row(item: pytest.Function, report: pytest.TestReport) -> Row | None:
    """Return the row of a test, or None if this phase of it does not decide the outcome."""
    behaviour = _describe_behaviour(item)
    if report.skipped:
        return Row(behaviour, "not offered", _read_skip_reason(report))
    if report.failed:
        return Row(behaviour, "fail", _read_failure(report))
    return Row(behaviour, "pass") if report.when == "call" else None


def _describe_behaviour(item: pytest.Function) -> str:
    """Return the first line of a test's docstring. A parameter's name in capitals is replaced by its value."""
    line = (item.function.__doc__ or item.name).strip().splitlines()[0].removesuffix(".")
    for name, value in item.callspec.params.items() if hasattr(item, "callspec") else ():
        line = re.sub(rf"\b{name.upper()}\b", lambda _, value=value: _format_value(value), line)
    return line


def _format_value(value: Any) -> str:
    if isinstance(value, dict):
        return json.dumps(value)
    return str(value.name if hasattr(value, "name") else value)


def _read_skip_reason(report: pytest.TestReport) -> str:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return _shorten(reason.removeprefix("Skipped: "))


def _read_failure(report: pytest.TestReport) -> str:
    """Return the first line of the failure's message, without the code of the assertion."""
    crash = getattr(report.longrepr, "reprcrash", None)
    message = crash.message if crash else str(report.longrepr)
    return _shorten(message.removeprefix("AssertionError: ").removeprefix("Failed: ").splitlines()[0])


def _shorten(text: str) -> str:
    return text if len(text) <= SEEN_CHARACTERS else text[: SEEN_CHARACTERS - 3] + "..."


def _format_row(row: Row) -> str:
    marks = " | ".join("✓" if row.outcome == column else "" for column in COLUMNS)
    return f"| {_escape_cell(row.behaviour)} | {marks} | {_escape_cell(row.seen)} |"


def _escape_cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
