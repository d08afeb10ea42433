"""The pieces of report.html: figures, tables and the ledger, each as a string."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from bench.report.again import AGAIN
from bench.report.plots import CAPTIONS
from bench.report.tables import Content

NUMBER = re.compile(r"-?\d")


def items(lines: Iterable[str]) -> str:
    """A list item a line."""
    return "".join(f"<li>{escape(line)}</li>" for line in lines)


def named(pairs: Iterable[tuple[str, str]]) -> str:
    """A list item a pair: a name in code, and what it is."""
    return "".join(f"<li><code>{escape(name)}</code> {escape(text)}</li>" for name, text in pairs)


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Terms and what they are here."""
    return "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in pairs)


def figure(svg: Path) -> str:
    """A plot with its caption, inline."""
    data = base64.b64encode(svg.read_bytes()).decode()
    caption = escape(CAPTIONS[svg.stem])
    return (
        f'<figure class="{svg.stem}"><div class="wide" tabindex="0">'
        f'<img alt="{caption}" src="data:image/svg+xml;base64,{data}"></div>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def table(content: Content) -> str:
    """A table under its title; each header is a button that sorts by its column."""
    return f"<h3>{escape(content.title)}</h3>{grid(content)}"


def folded(content: Content) -> str:
    """A table behind its title, which opens it."""
    count = len(content.rows)
    lines = f"{count} line{'s' * (count != 1)}"
    return f"<details><summary>{escape(content.title)} <small>{lines}</small></summary>{grid(content)}</details>"


def grid(content: Content) -> str:
    """The table alone, scrolling on its own where it is wider than the page."""
    words = [not any(NUMBER.match(row[i]) for row in content.rows) for i in range(len(content.columns))]
    head = "".join(_header(*cell) for cell in zip(content.columns, words, strict=True))
    rows = "".join(_row(content, row, words) for row in content.rows)
    return (
        f'<div class="scroll" tabindex="0"><table><caption>{escape(content.title)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _header(column: str, words: bool) -> str:
    return f'<th scope="col"{_class(words)}><button type="button">{escape(column)}</button></th>'


def _row(content: Content, row: Sequence[str], words: Sequence[bool]) -> str:
    cells = zip(content.columns, row, words, strict=True)
    return f"<tr>{''.join(_cell(*cell) for cell in cells)}</tr>"


def _cell(column: str, cell: str, words: bool) -> str:
    text = escape(cell)
    return f"<td{_class(words)}>{f'<code>{text}</code>' if column == AGAIN else text}</td>"


def _class(words: bool) -> str:
    return ' class="text"' if words else ""


def ledger(content: Content, refused: int) -> str:
    """The coded rows behind a summary that counts them, with a choice of the code to show."""
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
