"""Generated text in pages that people write: printed, or put between two markers of its name."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from bench.errors import BenchError


def put(text: str, name: str, into: Path | None) -> None:
    """Print the text, or put it where the file says `<!-- name:begin --> … <!-- name:end -->`; else BenchError."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    if into is None:
        sys.stdout.write(text)
        return
    page = into.read_text()
    if begin not in page or end not in page:
        raise BenchError(f"{into.name} has no {begin} … {end}")
    block = f"{begin}\n{text}{end}"
    into.write_text(re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: block, page, flags=re.DOTALL))
