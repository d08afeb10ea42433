"""Tables of retrieval studies: the docs show the committed results."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench import paths
from bench.errors import BenchError
from bench.retrieval import markdown

PAGE = paths.ROOT / "docs" / "search-well.md"


@pytest.mark.parametrize("kind", markdown.KINDS)
def test_the_page_shows_the_committed_results(kind: str) -> None:
    """Each table is that of the folder that it links to."""
    text = PAGE.read_text(encoding="utf-8")
    shown = text.partition(f"<!-- {kind}:begin -->\n")[2].partition(f"<!-- {kind}:end -->")[0]
    link = re.search(r"\]\(\.\./(results/[^)]+)\)", shown)

    assert link, f"{PAGE.name} has no table of {kind}"
    assert shown == markdown.render((paths.ROOT / link[1]).parent, kind)


@pytest.mark.parametrize("kind", markdown.KINDS)
def test_a_folder_without_results_has_no_table(kind: str, tmp_path: Path) -> None:
    """The error names the missing file."""
    with pytest.raises(BenchError, match=r"has no .*\.csv"):
        markdown.render(tmp_path, kind)
