"""
Write the index pages of results/: `python -m scripts.checks.results_index`.

With `--check` nothing is written, and the exit code is 1 if a page is out of date.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from bench import paths
from bench.analysis import headline, summary
from bench.errors import BenchError

COMMAND = "python -m scripts.checks.results_index"
GENERATED = f"`{COMMAND}` writes this page: do not edit it.\n"
STUDIES = {
    "costs": ("CPU time per operator of a forward pass, and memory per kind of page of each process", "make costs"),
    "filters": ("Time of a search with a filter to that of one without", "python -m scripts.studies.filters"),
    "fusion": ("nDCG@10 of each way to fuse rankings, with the fitted weights", "make fusion"),
    "gpu": ("Bulk embedding, half precision and a short campaign on a GPU", "sh scripts/gpu/bench.sh"),
    "int8": ("Size, accuracy and speed of int8 variants of the model", "python -m scripts.studies.int8_comparison"),
    "quality": ("Retrieval quality, latency and storage of each search mode", "make quality"),
    "storage": ("Storage and retrieval loss of stored token vectors", "make storage"),
}
SOAKS = {"calm": "no faults", "faults": "a fault every minute"}

RESULTS_PAGE = """# Results

{generated}
Every measured number in the documents comes from a file in this folder.

| folder | contents | command |
|---|---|---|
| [campaigns/](campaigns)`<machine>/<campaign>/` | speed, latency and memory of each gateway | `make bench` |
| [studies/](studies/README.md)`<machine>/<date>-<kind>/` | experiments behind single decisions | see its page |
| [soak/](soak/README.md)`<machine>/<date>/` | load for 20 minutes and more, with and without faults | `make soak` |
| [conformance/](conformance/README.md) | which server speaks which API dialect | `make conformance` |

A machine is named after its CPU, its widest vector instructions and its number of cores.

## Campaigns

A campaign is one run of the harness. `runs.csv` has a row for each measured window, `manifest.json` the commit, the
machine and the command, `summary.csv` a line for each cell. A report has the plots and every refused row.
`make report CAMPAIGN=<folder>` writes the report of a campaign that has none here.

A verdict begins with the fastest target. `1.87× [1.75, 2.00] onnx_py (fp32; 392; 227 MiB)` means: 1.87 times the
throughput of `onnx_py`, with a 95 % interval from 1.75 to 2.00; `onnx_py` computes in fp32, answers 392 requests a
second and takes 227 MiB. An interval needs three blocks. `study` is a gateway of other people, see
[bench/peers](../bench/peers).

{campaigns}"""

STUDIES_PAGE = """# Studies

{generated}
A study is an experiment behind one decision or one table of the documents. Its folder has the raw numbers as CSV.

{studies}"""

SOAK_PAGE = """# Soaks

{generated}
A soak sends requests of all kinds for minutes, at 70 % of what the gateway can serve. Each run has a plot, and a CSV
with a row for each second. `make soak` writes them; [RELIABILITY.md](../../RELIABILITY.md) explains the outcome.

{soaks}
PSS is the proportional set size of all processes of the gateway. The first value is from minute 5, when the caches
are full, the second from the end of the run.
"""

ARCHIVED = """
## Archived

No document cites these, so their files are only in the history. `git show <commit>:<path>/` lists a folder,
`git show <commit>:<path>/runs.csv` prints a file of it. The list is in [archived.csv]({csv}).

"""


def main(argv: Sequence[str] | None = None) -> int:
    """Write the pages that are out of date, or name them; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a page is out of date")
    parser.add_argument("--root", type=Path, default=paths.ROOT, help="the repository; default: this one")
    arguments = parser.parse_args(argv)
    pages = render(arguments.root)
    stale = [page for page, text in pages.items() if not page.exists() or page.read_text(encoding="utf-8") != text]
    if arguments.check and stale:
        names = ", ".join(page.relative_to(arguments.root).as_posix() for page in stale)
        sys.stderr.write(f"out of date: {names}. Write them again: {COMMAND}\n")
        return 1
    for page in stale:
        page.write_text(pages[page], encoding="utf-8")
    return 0


def render(root: Path) -> dict[Path, str]:
    """Return the text of each index page below a repository root."""
    results = root / paths.RESULTS.relative_to(paths.ROOT)
    campaigns = _table(list(_campaign_rows(root, results))) + _archive(results / "campaigns", results)
    studies = _table(list(_study_rows(root, results / "studies"))) + _archive(
        results / "studies", results / "studies"
    )
    soaks = _table(list(_soak_rows(root, results / "soak")))
    return {
        results / "README.md": RESULTS_PAGE.format(generated=GENERATED, campaigns=campaigns),
        results / "studies" / "README.md": STUDIES_PAGE.format(generated=GENERATED, studies=studies),
        results / "soak" / "README.md": SOAK_PAGE.format(generated=GENERATED, soaks=soaks),
    }


def _campaign_rows(root: Path, results: Path) -> Iterator[list[str]]:
    yield ["date", "machine", "campaign", "commit", "profile", "verdict", "cited by"]
    for folder in _folders(results / "campaigns"):
        campaign = summary.load(folder)
        manifest = campaign.manifest
        name = f"[{folder.name}]({_relative(folder, results)})"
        if (folder / "report.html").exists():
            name += f", [report]({_relative(folder / 'report.html', results)})"
        commit = (manifest["git"]["sha"] or "")[:7]
        verdict = headline.sentence(campaign)
        profile = manifest["profile"]["name"]
        yield [_date(folder), _machine(folder), name, commit, profile, verdict, _citations(root, folder, results)]


def _study_rows(root: Path, studies: Path) -> Iterator[list[str]]:
    yield ["date", "machine", "study", "contents", "command", "cited by"]
    for folder in _folders(studies):
        kind = folder.name.rpartition("-")[2]
        if kind not in STUDIES:
            raise BenchError(f"{folder.name} is no study: the kinds are {', '.join(STUDIES)}")
        contents, command = STUDIES[kind]
        name = f"[{folder.name}]({_relative(folder, studies)})"
        cited = _citations(root, folder, studies)
        yield [_date(folder), _machine(folder), name, contents, f"`{command}`", cited]


def _soak_rows(root: Path, soaks: Path) -> Iterator[list[str]]:
    yield [
        "date",
        "machine",
        "gateway",
        "faults",
        "minutes",
        "answered, 200",
        "accepted, 202",
        "refused, 429 and 503",
        "timed out, 504",
        "no connection",
        "PSS MiB",
        "cited by",
    ]
    for folder in _folders(soaks):
        for file in sorted(folder.glob("*.csv")):
            gateway, _, faults = file.stem.rpartition("-")
            name = f"[{gateway}]({_relative(file, soaks)})"
            cited = _citations(root, folder, soaks)
            yield [_date(folder), _machine(folder), name, SOAKS[faults], *_soak_cells(pd.read_csv(file)), cited]


def _soak_cells(seconds: pd.DataFrame) -> list[str]:
    """Return minutes, requests by outcome, and the memory after minute 5 and at the end."""

    def count(*statuses: int) -> str:
        columns = [f"status_{status}" for status in statuses if f"status_{status}" in seconds]
        return f"{int(seconds[columns].sum().sum()):,}"

    roles = [str(column) for column in seconds if str(column).endswith("_pss_mib")]
    pss_mib = seconds.set_index("second")[roles].dropna().sum(axis=1)
    settled_mib, end_mib = pss_mib[pss_mib.index >= 300].iloc[0], pss_mib.iloc[-1]
    answers = [count(200), count(202), count(429, 503), count(504), count(0)]
    return [f"{seconds.second.max() / 60:.0f}", *answers, f"{settled_mib:.0f} → {end_mib:.0f}"]


def _archive(folder: Path, index: Path) -> str:
    """Return the section about the entries of the folder's archived.csv; "" if there is no such file."""
    file = folder / "archived.csv"
    if not file.exists():
        return ""
    with file.open(encoding="utf-8", newline="") as lines:
        rows = sorted(csv.DictReader(lines), key=lambda row: row["id"], reverse=True)
    cells = [
        [row["id"][:10], row["machine"], row["id"], f"`{row['commit']}:{row['path']}`", row["summary"]]
        for row in rows
    ]
    section = ARCHIVED.format(csv=_relative(file, index))
    return section + _table([["date", "machine", "name", "`<commit>:<path>`", "outcome"], *cells])


def _folders(kind: Path) -> list[Path]:
    """Return the folders `<machine>/<id>` of one kind of result, newest first."""
    folders = (folder for folder in kind.glob("*/*") if folder.is_dir())
    return sorted(folders, key=lambda folder: (folder.name, folder.parent.name), reverse=True)


def _citations(root: Path, folder: Path, index: Path) -> str:
    """Return links to the documents that name a result's folder; "–" if there are none."""
    name = f"{folder.parent.parent.name}/{folder.parent.name}/{folder.name}"
    pattern = re.compile(rf"{re.escape(name)}(?![\w-])")
    documents = [*sorted(root.glob("*.md")), *sorted((root / "docs").rglob("*.md"))]
    citing = [document for document in documents if pattern.search(document.read_text(encoding="utf-8"))]
    return ", ".join(f"[{_title(document, root)}]({_relative(document, index)})" for document in citing) or "–"


def _title(document: Path, root: Path) -> str:
    if document.parent.name == "decisions":
        return f"decision {document.name[:3]}"
    return document.relative_to(root).as_posix()


def _relative(file: Path, index: Path) -> str:
    return Path(os.path.relpath(file, index)).as_posix()


def _date(folder: Path) -> str:
    return folder.name[:10]


def _machine(folder: Path) -> str:
    return folder.parent.name


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *rest = rows
    return "".join(f"| {' | '.join(cells)} |\n" for cells in [head, ["---"] * len(head), *rest])


if __name__ == "__main__":
    sys.exit(main())
