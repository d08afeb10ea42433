"""
Measure what a filter costs a search: every store, mode and size, against the same search without a filter.

    python -m scripts.studies.filters fill --data /tmp/filters --passages 1000
    python -m scripts.studies.filters measure --data /tmp/filters --passages 1000 --out results/studies/...-filters

`fill` writes a collection once, and `measure` searches it; both take --store, --passages and, for pgvector,
--database-url of a server on this machine. Each round asks one question in every cell, with and without the filter in
turn, so that both meet the same machine. The output is `filters.csv`, a row for each cell. Rows of other stores and
sizes stay, so the study can be done in pieces.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import pandas as pd
import psycopg
from psycopg import sql
from rich.console import Console
from rich.progress import track

from gateways.core.profiles import Profile
from gateways.core.settings import StoreSettings
from gateways.core.stores.base import Collection, VectorStore
from gateways.core.stores.filters import Condition, parse
from scripts.studies.filter_data import DIMENSIONS, FILTERS, Query, Texts

TOP_K, PER_WRITE = 5, 500
PROFILE = Profile("random", DIMENSIONS, "bm25")
MODES = ("dense", "sparse", "hybrid")
KEYS = ["store", "passages", "mode", "filter"]


class Cost(NamedTuple):
    """The wall time and the CPU time of a search, of all processes."""

    wall_ms: float
    cpu_ms: float


class Clock:
    """Reads wall time and CPU time, of this process and of the database's processes for its connections."""

    def __init__(self, backends: list[int]) -> None:
        self._files = [Path(f"/proc/{pid}/schedstat") for pid in backends]

    def read(self) -> Cost:
        """Return the times since a point in the past."""
        backends_ns = sum(int(file.read_text().split()[0]) for file in self._files)
        return Cost(time.perf_counter() * 1e3, (time.process_time_ns() + backends_ns) / 1e6)


async def open_store(options: argparse.Namespace) -> VectorStore:
    """Open the store below `--data`, or at `--database-url`."""
    options.data.mkdir(parents=True, exist_ok=True)
    settings = StoreSettings(data_dir=options.data, store=options.store, database_url=options.database_url)
    module = importlib.import_module(f"gateways.core.stores.{options.store}.store")
    return cast(VectorStore, await module.open_store(settings, PROFILE, None))


async def fill(options: argparse.Namespace) -> None:
    """Write a collection of each size, anew."""
    store = await open_store(options)
    texts = Texts()
    try:
        for count in options.passages:
            await store.delete(f"filters-{count}")
            collection = await store.ensure(f"filters-{count}", PROFILE)
            index = _drop_vector_index(options, collection)
            for start in track(range(0, count, PER_WRITE), f"writing {count} passages"):
                await collection.replace(*texts.passages(start, min(start + PER_WRITE, count)))
            await collection.flush()
            _create_index(options, index)
    finally:
        await store.close()


def _drop_vector_index(options: argparse.Namespace, collection: Collection) -> str:
    """Drop the database's index of vectors, which is faster to make at the end. Returns its definition."""
    if options.store != "pgvector":
        return ""
    table = f"gateway_passages_{collection.number}"  # type: ignore[attr-defined]
    with psycopg.connect(options.database_url, autocommit=True) as connection:
        select = "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s AND indexdef LIKE '%%hnsw%%'"
        name, definition = connection.execute(select, (table,)).fetchone() or ("", "")
        connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
    return str(definition)


def _create_index(options: argparse.Namespace, definition: str) -> None:
    if definition:
        with psycopg.connect(options.database_url, autocommit=True) as connection:
            connection.execute("SET maintenance_work_mem = '2GB'")
            connection.execute(cast(Any, definition))
            connection.execute("VACUUM ANALYZE")


async def measure(collection: Collection, queries: list[Query], clock: Clock) -> dict[tuple[str, str], list[Cost]]:
    """Return the cost of each search, by mode and filter."""
    conditions: dict[str, Condition | None] = {name: parse(body) if body else None for name, body in FILTERS.items()}
    costs: dict[tuple[str, str], list[Cost]] = defaultdict(list)
    for query in track(queries, "searching"):
        for mode in MODES:
            vectors = None if mode == "sparse" else query.dense, None if mode == "dense" else query.sparse
            for name, condition in conditions.items():
                start = clock.read()
                await collection.search(*vectors, TOP_K, condition)
                end = clock.read()
                costs[mode, name].append(Cost(end.wall_ms - start.wall_ms, end.cpu_ms - start.cpu_ms))
    return costs


def make_rows(store: str, count: int, costs: dict[tuple[str, str], list[Cost]]) -> Iterator[dict[str, Any]]:
    """Yield a row per cell: medians, the 95th percentile, and the ratios to the search without a filter."""
    for (mode, name), cell in costs.items():
        ratios = [
            (cost.wall_ms / base.wall_ms, cost.cpu_ms / base.cpu_ms)
            for cost, base in zip(cell, costs[mode, "none"], strict=True)
        ]
        walls = sorted(cost.wall_ms for cost in cell)
        yield {
            "store": store,
            "passages": count,
            "mode": mode,
            "filter": name,
            "searches": len(cell),
            "median_ms": round(statistics.median(walls), 3),
            "p95_ms": round(walls[int(len(walls) * 0.95)], 3),
            "cpu_ms": round(statistics.median(cost.cpu_ms for cost in cell), 3),
            "wall_ratio": round(statistics.median(wall for wall, _ in ratios), 3),
            "cpu_ratio": round(statistics.median(cpu for _, cpu in ratios), 3),
        }


def _list_backends(options: argparse.Namespace) -> list[int]:
    """Return the ids of the processes that serve the store's connections."""
    if options.store != "pgvector":
        return []
    with psycopg.connect(options.database_url) as connection:
        select = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        return [pid for (pid,) in connection.execute(select)]


async def run(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure the collection of each size."""
    store = await open_store(options)
    queries = list(Texts().queries(options.rounds * 11 // 10))
    rows: list[dict[str, Any]] = []
    try:
        for count in options.passages:
            collection = store.collection(f"filters-{count}")
            await store.refresh(counts=True)
            clock = Clock(_list_backends(options))
            await measure(collection, queries[options.rounds :], clock)
            rows += make_rows(options.store, count, await measure(collection, queries[: options.rounds], clock))
    finally:
        await store.close()
    return rows


def write_rows(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows to `filters.csv` in a folder, in place of those of the same cells."""
    folder.mkdir(parents=True, exist_ok=True)
    path, table = folder / "filters.csv", pd.DataFrame(rows)
    previous = pd.read_csv(path) if path.exists() else table.iloc[:0]
    joined = pd.concat([previous, table], ignore_index=True).drop_duplicates(KEYS, keep="last")
    joined.sort_values(["store", "passages"], kind="stable").to_csv(path, index=False)


def main() -> None:
    """Fill, or measure, print the table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("fill", "measure"))
    parser.add_argument("--data", type=Path, required=True, help="Folder that keeps the collections.")
    parser.add_argument("--out", type=Path, help="Folder of filters.csv.")
    parser.add_argument("--store", choices=("edge", "pgvector"), default="edge", help="Store to measure.")
    parser.add_argument("--database-url", default="", help="URL of the PostgreSQL of --store pgvector.")
    parser.add_argument("--passages", type=int, nargs="+", default=[1_000, 40_000, 400_000], help="Sizes.")
    parser.add_argument("--rounds", type=int, default=100, help="Searches per cell.")
    options = parser.parse_args()
    if options.step == "fill":
        asyncio.run(fill(options))
        return
    rows = asyncio.run(run(options))
    Console(width=140).print(pd.DataFrame(rows).to_string(index=False))
    if options.out:
        write_rows(options.out, rows)


if __name__ == "__main__":
    main()
