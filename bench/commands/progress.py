"""Progress on the terminal: a bar for the campaign, a bar for the step, and a line per finished cell."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.measurement.plan import Cell
from bench.records.runs_csv import Row
from bench.statistics import median

WIDTH = 124  # for a file or a pipe
console = Console(width=None if sys.stdout.isatty() else WIDTH)


class Terminal:
    """The progress display. It redraws only twice per second, because it shares the driver's core."""

    def __init__(self, console: Console, cells: int) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            refresh_per_second=2,
        )
        self._campaign = self._progress.add_task("cells", total=cells)
        self._step = self._progress.add_task("", total=None, visible=False)

    def step(self, text: str, done: int = 0, total: int = 0) -> None:
        """Show a step, and its progress unless `total` is 0."""
        self._progress.update(self._step, description=escape(text), completed=done, total=total or None, visible=True)

    def finished(self, cell: Cell, rows: Sequence[Row]) -> None:
        """Print the cell's line, if it has rows, and advance the campaign's bar."""
        if rows:
            self._progress.console.print(render_line(cell, rows), highlight=False, soft_wrap=True)
        self._progress.update(self._step, visible=False)
        if cell.scenario != "verify":
            self._progress.advance(self._campaign)

    def result(self, cell: Cell, text: str) -> None:
        """Print what a cell came to."""
        self._progress.console.print(escape(f"{cell!s:44}  {text}"), highlight=False, soft_wrap=True)

    def skip(self, cells: int) -> None:
        """Advance by cells that will not be measured."""
        self._progress.advance(self._campaign, cells)

    def warn(self, text: str) -> None:
        """Print an error."""
        self._progress.console.print(escape(text), style="red", soft_wrap=True)

    def __enter__(self) -> Terminal:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


def render_line(cell: Cell, rows: Sequence[Row]) -> str:
    """Return one line with a cell's figures and codes."""
    first = rows[0]
    parts = [f"{cell!s:44}"]
    if first.rps is not None:
        parts.append(f"{first.rps:8.1f} rps")
        parts += [f"{name} {value:7.1f} ms" for name, value in _percentiles(first) if value is not None]
    first_answer_s = median([row.first_answer_s for row in rows if row.first_answer_s is not None])
    if first_answer_s is not None:
        parts.append(f"{first_answer_s:8.2f} s to the first validated answer")
    if first.ingest_texts_per_s is not None:
        parts.append(f"{first.ingest_texts_per_s:8.1f} texts/s ingested")
    if first.cosine_min is not None:
        parts.append(f"cosine ≥ {first.cosine_min:.5f}")
    if first.ndcg10 is not None and first.reference_ndcg10 is not None:
        parts.append(f"nDCG@10 {first.ndcg10:.4f} (reference {first.reference_ndcg10:.4f})")
    codes = sorted({code for row in rows for code in row.codes.split()})
    return escape("  ".join(parts)) + (f"  [yellow]{' '.join(codes)}[/yellow]" if codes else "")


def _percentiles(row: Row) -> list[tuple[str, float | None]]:
    return [("p50", row.p50_ms), ("p95", row.p95_ms), ("p99", row.p99_ms)]
