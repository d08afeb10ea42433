"""Generated blocks of Markdown pages, between two markers with the name of the block."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from bench import paths
from bench.errors import BenchError


def put(text: str, name: str, into: Path | None) -> None:
    """Print the text, or write it between the markers of `name` in a file; raises BenchError if there are none."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    if into is None:
        sys.stdout.write(text)
        return
    page = into.read_text()
    if begin not in page or end not in page:
        raise BenchError(f"{into.name} has no {begin} … {end}")
    block = f"{begin}\n{text}{end}"
    into.write_text(re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: block, page, flags=re.DOTALL))


def source_link(file: Path) -> str:
    """Return a Markdown link from a page of docs/ to a file, named after the file's folder."""
    file = file.resolve()
    place = f"../{file.relative_to(paths.ROOT)}" if file.is_relative_to(paths.ROOT) else file.name
    return f"[{file.parent.name}]({place})"
