"""
Measure what a filter costs a search: every store, mode and size, against the same search without a filter.

    python -m scripts.studies.filters --out results/studies/<machine>/<date>-filters --store edge --passages 1000

Passages have random vectors and terms, and metadata of which filters keep 1, 10 and 50 %. Each round searches once in
every cell, with and without the filter in turn, so that both meet the same machine. STORE=pgvector needs a server:
`--database-url`. The output is `filters.csv`, a row for each cell.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track

from gateways.core.backend import F32, SparseVector
from gateways.core.profiles import Profile
from gateways.core.scoring.vectors import normalize
from gateways.core.settings import StoreSettings
from gateways.core.stores.base import Collection, Passage, Vectors, VectorStore
from gateways.core.stores.filters import Condition, parse

SEED = 7
DIMENSIONS, VOCABULARY, TERMS, QUERY_TERMS, TOP_K = 384, 3_000, 20, 6, 5
PROFILE = Profile("random", DIMENSIONS, "bm25")
PER_WRITE = 500
MODES = ("dense", "sparse", "hybrid")
FILTERS: dict[str, dict[str, Any]] = {
    "none": {},
    "equality, 1 %": {"tenant": "t7"},
    "equality, 10 %": {"tenth": 3},
    "boolean, 50 %": {"half": True},
    "range, 10 %": {"year": {"gte": 1900, "lt": 1920}},
    "in, 10 %": {"tenant": {"in": [f"t{number}" for number in range(10)]}},
    "not, 99 %": {"not": {"tenant": "t7"}},
    "nested, 1 %": {"owner.team": 7},
}


def make_metadata(number: int) -> dict[str, Any]:
    """Return the metadata of a passage."""
    return {
        "tenant": f"t{number % 100}",
        "tenth": number % 10,
        "half": number % 2 == 0,
        "year": 1900 + number % 200,
        "owner": {"team": number % 100},
    }


def make_terms(random: np.random.Generator, count: int) -> SparseVector:
    """Return a sparse vector of `count` terms."""
    terms = np.sort(random.choice(VOCABULARY, count, replace=False)).astype(np.uint32)
    return SparseVector(terms, random.random(count).astype(np.float32))


def make_dense(random: np.random.Generator, count: int) -> F32:
    """Return unit vectors, float32 (count, DIMENSIONS)."""
    return normalize(random.standard_normal((count, DIMENSIONS), dtype=np.float32))


async def fill(collection: Collection, count: int) -> None:
    """Write passages, each a document of its own."""
    random = np.random.default_rng(SEED)
    for start in track(range(0, count, PER_WRITE), f"writing {count} passages"):
        numbers = range(start, min(start + PER_WRITE, count))
        passages = [Passage(f"d{n}", f"d{n}", f"text {n}", 0, 10, make_metadata(n)) for n in numbers]
        dense = make_dense(random, len(numbers))
        await collection.replace(passages, [Vectors(row, make_terms(random, TERMS)) for row in dense])
    await collection.flush()


async def measure(collection: Collection, rounds: int) -> dict[tuple[str, str], list[float]]:
    """Return the milliseconds of each search, by mode and filter."""
    random = np.random.default_rng(SEED + 1)
    conditions: dict[str, Condition | None] = {name: parse(body) if body else None for name, body in FILTERS.items()}
    times_ms: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in track(range(rounds), "searching"):
        dense, sparse = make_dense(random, 1)[0], make_terms(random, QUERY_TERMS)
        for mode in MODES:
            query = None if mode == "sparse" else dense, None if mode == "dense" else sparse
            for name, condition in conditions.items():
                started_s = time.perf_counter()
                await collection.search(*query, TOP_K, condition)
                times_ms[mode, name].append((time.perf_counter() - started_s) * 1e3)
    return times_ms


def make_rows(store: str, count: int, times_ms: dict[tuple[str, str], list[float]]) -> Iterator[dict[str, Any]]:
    """Yield a row per cell: the median, the 95th percentile, and the median ratio to the search without a filter."""
    for (mode, name), values in times_ms.items():
        ratios = [value / base for value, base in zip(values, times_ms[mode, "none"], strict=True)]
        yield {
            "store": store,
            "passages": count,
            "mode": mode,
            "filter": name,
            "median_ms": round(statistics.median(values), 3),
            "p95_ms": round(float(np.percentile(values, 95)), 3),
            "median_ratio": round(statistics.median(ratios), 3),
        }


async def run(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Fill a collection of each size, and measure it."""
    settings = StoreSettings(data_dir=folder, store=options.store, database_url=options.database_url)
    module = importlib.import_module(f"gateways.core.stores.{options.store}.store")
    store = cast(VectorStore, await module.open_store(settings, PROFILE, None))
    rows: list[dict[str, Any]] = []
    try:
        for count in options.passages:
            name = f"filters-{count}"
            await store.delete(name)
            collection = await store.ensure(name, PROFILE)
            await fill(collection, count)
            await store.refresh(counts=True)
            await measure(collection, options.rounds // 10)
            rows += make_rows(options.store, count, await measure(collection, options.rounds))
            await store.delete(name)
    finally:
        await store.close()
    return rows


def main() -> None:
    """Measure, print the table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="Folder of filters.csv.")
    parser.add_argument("--store", choices=("edge", "pgvector"), default="edge", help="Store to measure.")
    parser.add_argument("--database-url", default="", help="URL of the PostgreSQL of --store pgvector.")
    parser.add_argument("--passages", type=int, nargs="+", default=[1_000, 40_000, 400_000], help="Sizes.")
    parser.add_argument("--rounds", type=int, default=200, help="Searches per cell.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = pd.DataFrame(asyncio.run(run(options, Path(folder))))
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "filters.csv"
    previous = pd.read_csv(path) if path.exists() else table.iloc[:0]
    kept = previous[previous["store"] != options.store]
    pd.concat([kept, table], ignore_index=True).to_csv(path, index=False)
    Console().print(table.to_string(index=False))


if __name__ == "__main__":
    main()
