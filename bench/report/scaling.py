"""What each decade of rate and of documents takes, as Markdown tables and their place in a page: docs/scaling.md."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from bench.errors import BenchError
from bench.recommend.measured import Shape, shapes
from bench.recommend.needs import Needs
from bench.report import pages, summary
from bench.report.summary import Campaign
from bench.report.tables import number

ROUTE, HEADROOM, SLO_MS = "search", 0.7, 150.0
RATES = (10, 100, 1_000, 10_000, 100_000)
DOCUMENTS = (10**4, 10**5, 10**6, 10**7, 10**8, 10**9)
# Of a passage's vector of 384 dimensions: in 4 bytes each, and in the 4 bits each that a search reads all of.
DENSE_BYTES, COARSE_BYTES = 384 * 4, 384 // 2
GB = 10**9
# In fp32 and int8; `onnx_py` itself starts on what its twin has ingested, and the split's embed service is the same.
INGESTING = ("split", "onnx_py-int8")


def write(folder: Path, into: Path | None) -> None:
    """Print the tables, or put them between the scaling markers of a file; raises BenchError where there are none."""
    pages.put(render(summary.load(folder)), "scaling", into)


def render(campaign: Campaign) -> str:
    """Both tables and where they come from; raises BenchError for a campaign that did not measure what they need."""
    limit_ms = float(campaign.manifest.get("slo_ms", {}).get(ROUTE, SLO_MS))
    measured = shapes(campaign, Needs(rps=1, limits={"p99_ms": limit_ms}, route=ROUTE))
    found = [its for its in measured if its.eligible and not its.gpu]  # the table counts cores
    if not found:
        raise BenchError(f"{campaign.folder.name} has no shape that held {limit_ms:g} ms in an open loop")
    parts = [_table(list(_rates(found))), _table(list(_documents(campaign))), _source(campaign, limit_ms)]
    return "\n".join(parts) + "\n"


def _rates(found: Sequence[Shape]) -> Iterator[list[str]]:
    yield ["searches a second", *(f"`{its.target}`" for its in found)]
    for rps in RATES:
        yield [f"{rps:,}", *(_fleet(its, rps) for its in found)]


def _fleet(shape: Shape, rps: float) -> str:
    assert shape.low  # noqa: S101 else it is not eligible
    replicas = math.ceil(rps / (shape.low * HEADROOM))
    gib = replicas * sum(shape.pss_mib.values()) / 1024
    cores = replicas * shape.cores
    return f"{cores:,} core{'s' * (cores > 1)}, {number(gib, 1)} GiB"


def _documents(campaign: Campaign) -> Iterator[list[str]]:
    yield [
        "passages",
        "read by each search, GB",
        "vectors, GB",
        "of tokens, GB",
        "a search adds, ms",
        "ingest, core hours",
    ]
    per_s = [_figure(campaign, "verify", "", name, "ingest_texts_per_s") for name in INGESTING]
    added_ms = _added_ms(campaign)
    tokens_bytes = _bytes_of_tokens(campaign.folder)
    for documents in DOCUMENTS:
        yield [
            f"{documents:,}",
            _rounded(documents * COARSE_BYTES / GB),
            _rounded(documents * DENSE_BYTES / GB),
            _rounded(documents * tokens_bytes / GB),
            _rounded(added_ms * documents / 1e5),
            " · ".join(_rounded(documents / rate / 3600) for rate in per_s),
        ]


def _rounded(value: float) -> str:
    """Return two digits that count: the table spans five decades."""
    return f"{float(f'{value:.2g}'):,.{max(0, 1 - math.floor(math.log10(value)))}f}"


def _added_ms(campaign: Campaign) -> float:
    """Return what a search over 100,000 documents takes beyond its embedding."""
    search, alone = (_figure(campaign, "store", route, "pseudo", "p50_ms") for route in ("search", "embeddings"))
    return search - alone


def _bytes_of_tokens(folder: Path) -> float:
    """Return what the stored vectors of a passage's tokens take, by the newest measurement beside the campaign."""
    files = sorted(folder.resolve().parent.glob("*-storage/storage.csv"))
    if not files:
        raise BenchError(f"no *-storage beside {folder.name}: make storage")
    rows = pd.read_csv(files[-1])
    rows = rows[(rows.corpus == "squad") & (rows.datatype == "Turbo4") & (rows.pooled == 1)]
    return 1000 * float(rows[(rows.pruned == "nothing") & (rows.codes == "none")].stored_kb_per_passage.iloc[0])


def _figure(campaign: Campaign, scenario: str, route: str, target: str, column: str) -> float:
    lines = campaign.summary
    lines = lines[(lines.scenario == scenario) & (lines.target == target)]
    lines = lines[lines.route == route] if route else lines
    if lines.empty or not lines[column].iloc[0] > 0:
        raise BenchError(f"{campaign.folder.name} has no {column} of {target} at {scenario} {route}".rstrip())
    return float(lines[column].iloc[0])


def _table(rows: list[list[str]]) -> str:
    head, *rest = rows
    lines = [head, ["---:"] * len(head), *rest]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def _source(campaign: Campaign, limit_ms: float) -> str:
    ingesting = " · ".join(f"`{name}`" for name in INGESTING)
    return (
        f"From [{campaign.folder.resolve().name}](../results/{campaign.folder.resolve().parent.name}/"
        f"{campaign.folder.resolve().name}/report.html): the lower bound of what one core held within\n"
        f"{limit_ms:g} ms (p99), of which {HEADROOM:.0%} is used; ingest {ingesting}."
    )
