"""The resources for each decade of request rate and of documents, as Markdown tables in docs/scaling.md."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from bench import paths
from bench.analysis import summary
from bench.analysis.summary import Campaign
from bench.errors import BenchError
from bench.recommend.candidates import Shape, shapes
from bench.recommend.needs import Needs
from bench.report.tables import marked_block
from bench.report.tables.results import number

ROUTE, HEADROOM, SLO_MS = "search", 0.7, 150.0
RATES = (10, 100, 1_000, 10_000, 100_000)
DOCUMENTS = (10**4, 10**5, 10**6, 10**7, 10**8, 10**9)
# Bytes of a 384-dimensional vector: in fp32, and in the 4 bits a dimension that a search reads.
DENSE_BYTES, COARSE_BYTES = 384 * 4, 384 // 2
GB = 10**9
NOT_MEASURED = "not measured"
# In fp32 and int8. `onnx_py` starts on the index of its twin, so `split`, whose embed service is the same, stands in.
INGESTING = ("split", "onnx_py-int8")


def write(folder: Path, into: Path | None) -> None:
    """Print the tables, or write them between the scaling markers of a file; raises BenchError if there are none."""
    marked_block.put(render(summary.load(folder)), "scaling", into)


def render(campaign: Campaign) -> str:
    """Return both tables and their source; raises BenchError for a campaign without the figures."""
    limit_ms = float(campaign.manifest.get("slo_ms", {}).get(ROUTE, SLO_MS))
    measured = shapes(campaign, Needs(rps=1, limits={"p99_ms": limit_ms}, route=ROUTE))
    eligible = [shape for shape in measured if shape.eligible and not shape.gpu]  # the table counts cores
    if not eligible:
        raise BenchError(f"{campaign.folder.name} has no shape that held {limit_ms:g} ms in an open loop")
    rates = _format_table(list(_list_rates(eligible)))
    documents = _format_table(list(_list_documents(campaign)))
    return "\n".join([rates, documents, _describe_source(campaign, limit_ms)]) + "\n"


def _list_rates(eligible: Sequence[Shape]) -> Iterator[list[str]]:
    yield ["searches a second", *(f"`{shape.target}`" for shape in eligible)]
    for rps in RATES:
        yield [f"{rps:,}", *(_format_fleet(shape, rps) for shape in eligible)]


def _format_fleet(shape: Shape, rps: float) -> str:
    assert shape.low  # noqa: S101 eligible shapes have it
    replicas = math.ceil(rps / (shape.low * HEADROOM))
    gib = replicas * sum(shape.pss_mib.values()) / 1024
    cores = replicas * shape.cores
    return f"{cores:,} core{'s' * (cores > 1)}, {number(gib, 1)} GiB"


def _list_documents(campaign: Campaign) -> Iterator[list[str]]:
    yield [
        "passages",
        "read by each search, GB",
        "vectors, GB",
        "of tokens, GB",
        "a search adds, ms",
        "ingest, core hours",
    ]
    per_s = [_read_figure(campaign, "verify", "", name, "ingest_texts_per_s") for name in INGESTING]
    added_ms = _measure_added_ms(campaign)
    token_bytes = _read_token_bytes(campaign.folder)
    for documents in DOCUMENTS:
        yield [
            f"{documents:,}",
            _round(documents * COARSE_BYTES / GB),
            _round(documents * DENSE_BYTES / GB),
            _round(documents * token_bytes / GB),
            _round(added_ms * documents / 1e5) if added_ms else NOT_MEASURED,
            " · ".join(_round(documents / rate / 3600) if rate else NOT_MEASURED for rate in per_s),
        ]


def _round(value: float) -> str:
    """Return a number with two significant digits, because the table spans five decades."""
    return f"{float(f'{value:.2g}'):,.{max(0, 1 - math.floor(math.log10(value)))}f}"


def _measure_added_ms(campaign: Campaign) -> float | None:
    """Return the ms that a search over 100,000 documents takes beyond its embedding; None without a sound row."""
    search, alone = (_read_figure(campaign, "store", route, "pseudo", "p50_ms") for route in ("search", "embeddings"))
    return search - alone if search and alone and search > alone else None


def _read_token_bytes(folder: Path) -> float:
    """Return the bytes of a passage's stored token vectors, by the newest storage study of the campaign's machine."""
    machine = folder.resolve().parent.name
    files = sorted((paths.STUDIES / machine).glob("*-storage/storage.csv"))
    if not files:
        raise BenchError(f"results/studies/{machine} has no *-storage: make storage")
    rows = pd.read_csv(files[-1])
    rows = rows[(rows.corpus == "squad") & (rows.datatype == "Turbo4") & (rows.pooled == 1)]
    return 1000 * float(rows[(rows.pruned == "nothing") & (rows.codes == "none")].stored_kb_per_passage.iloc[0])


def _read_figure(campaign: Campaign, scenario: str, route: str, target: str, column: str) -> float | None:
    lines = campaign.summary
    lines = lines[(lines.scenario == scenario) & (lines.target == target)]
    lines = lines[lines.route == route] if route else lines
    return None if lines.empty or not lines[column].iloc[0] > 0 else float(lines[column].iloc[0])


def _format_table(rows: list[list[str]]) -> str:
    head, *rest = rows
    lines = [head, ["---:"] * len(head), *rest]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def _describe_source(campaign: Campaign, limit_ms: float) -> str:
    ingesting = " · ".join(f"`{name}`" for name in INGESTING)
    link = marked_block.source_link(campaign.folder / "report.html")
    return (
        f"From {link}: the lower bound of what one core held within\n"
        f"{limit_ms:g} ms (p99), of which {HEADROOM:.0%} is used; ingest {ingesting}."
    )
