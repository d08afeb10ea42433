"""HTML elements of the report: lists, figures, tables and the ledger of refused rows, each a string."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from bench.report.plots import CAPTIONS
from bench.report.reproduce import AGAIN
from bench.report.tables.results import Content

NUMBER = re.compile(r"-?\d")


def items(lines: Iterable[str]) -> str:
    """Return a list item per line."""
    return "".join(f"<li>{escape(line)}</li>" for line in lines)


def named(pairs: Iterable[tuple[str, str]]) -> str:
    """Return a list item per pair: a name as code, and its description."""
    return "".join(f"<li><code>{escape(name)}</code> {escape(text)}</li>" for name, text in pairs)


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Return a definition list of names and values."""
    return "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in pairs)


def figure(svg: Path) -> str:
    """Return a plot with its caption, embedded as data."""
    data = base64.b64encode(svg.read_bytes()).decode()
    caption = escape(CAPTIONS[svg.stem])
    return (
        f'<figure class="{svg.stem}"><div class="wide" tabindex="0">'
        f'<img alt="{caption}" src="data:image/svg+xml;base64,{data}"></div>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def table(content: Content) -> str:
    """Return a table under its title; each column header is a button that sorts by the column."""
    return f"<h3>{escape(content.title)}</h3>{grid(content)}"


def folded(content: Content) -> str:
    """Return a table that is collapsed behind its title."""
    count = len(content.rows)
    lines = f"{count} line{'s' * (count != 1)}"
    return f"<details><summary>{escape(content.title)} <small>{lines}</small></summary>{grid(content)}</details>"


def grid(content: Content) -> str:
    """Return the table without its title; it scrolls if it is wider than the page."""
    textual = [not any(NUMBER.match(row[i]) for row in content.rows) for i in range(len(content.columns))]
    head = "".join(_header(*cell) for cell in zip(content.columns, textual, strict=True))
    rows = "".join(_row(content, row, textual) for row in content.rows)
    return (
        f'<div class="scroll" tabindex="0"><table><caption>{escape(content.title)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _header(column: str, textual: bool) -> str:
    return f'<th scope="col"{_class(textual)}><button type="button">{escape(column)}</button></th>'


def _row(content: Content, row: Sequence[str], textual: Sequence[bool]) -> str:
    cells = zip(content.columns, row, textual, strict=True)
    return f"<tr>{''.join(_cell(*cell) for cell in cells)}</tr>"


def _cell(column: str, cell: str, textual: bool) -> str:
    text = escape(cell)
    return f"<td{_class(textual)}>{f'<code>{text}</code>' if column == AGAIN else text}</td>"


def _class(textual: bool) -> str:
    return ' class="text"' if textual else ""


def ledger(content: Content, refused: int) -> str:
    """Return the coded rows, collapsed behind their counts, with a selector of the code to show."""
    if not content.rows:
        return "<p>No row earned a code.</p>"
    kept = len(content.rows) - refused
    counts = Counter(
        code for row in content.rows for code in row[content.columns.index("codes")].split() if code[:2] == "E_"
    )
    options = "".join(f'<option value="{code}">{code} ({count})</option>' for code, count in sorted(counts.items()))
    return (
        f"<details><summary>{refused} refused row{'s' * (refused != 1)}, {kept} kept with a remark</summary>"
        f'<label>Code <select><option value="">all ({len(content.rows)})</option>{options}</select></label>'
        f"{grid(content)}</details>"
    )
