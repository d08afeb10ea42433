"""Mixes of requests, as users send them: shares of routes and lengths of texts, from `bench/mixes/*.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bench import paths
from bench.datasets.lengths import LogNormal
from bench.errors import BenchError

FOLDER = paths.ROOT / "bench" / "mixes"
PREFIX = "mix-"  # of the route of a mix in runs.csv
# The capabilities that a route of a mix needs.
NEEDS: Mapping[str, frozenset[str]] = {
    "search": frozenset({"search"}),
    "search-hybrid": frozenset({"search", "hybrid"}),
    "search-filtered": frozenset({"search", "hybrid"}),
    "search-reranked": frozenset({"search", "rerank"}),
    "embeddings": frozenset({"embeddings"}),
    "ingest": frozenset({"search"}),
}
FIELDS = {"route", "share", "length", "texts", "judged"}


@dataclass(frozen=True)
class Kind:
    """A kind of request: its route, share, lengths and number of texts, and whether the SLO is on it."""

    route: str
    share: float
    length: LogNormal
    texts: int = 1
    judged: bool = True


@dataclass(frozen=True)
class Mix:
    """A mix of requests; the shares add up to 1."""

    name: str
    title: str
    slo_ms: float
    kinds: tuple[Kind, ...]
    top_k: int = 5

    @property
    def route(self) -> str:
        """The route of the mix in runs.csv."""
        return PREFIX + self.name

    @property
    def needs(self) -> frozenset[str]:
        """The capabilities that a target needs for all requests."""
        return frozenset().union(*(NEEDS[kind.route] for kind in self.kinds))

    @property
    def shares(self) -> list[float]:
        """The share of each kind."""
        return [kind.share for kind in self.kinds]


@cache
def load_all() -> tuple[Mix, ...]:
    """Return every mix of the folder, by name."""
    return tuple(load(file) for file in sorted(FOLDER.glob("*.toml")))


def find(route: str) -> Mix:
    """Return the mix of a route. Raises BenchError for an unknown one."""
    for mix in load_all():
        if mix.route == route:
            return mix
    raise BenchError(f"no mix has the route {route}; mixes are {', '.join(mix.name for mix in load_all())}")


def load(file: Path) -> Mix:
    """Return the mix of a file. Raises BenchError that names the file and what is wrong."""
    try:
        content = tomllib.loads(file.read_text())
        kinds = tuple(_read_kind(entry) for entry in content["requests"])
        mix = Mix(file.stem, content["title"], float(content["slo_ms"]), kinds, content.get("top_k", 5))
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise BenchError(f"{file.name}: {type(error).__name__}: {error}") from error
    if not np.isclose(sum(mix.shares), 1.0):
        raise BenchError(f"{file.name}: the shares add up to {sum(mix.shares):g}, not to 1")
    return mix


def _read_kind(entry: Mapping[str, Any]) -> Kind:
    if unknown := entry.keys() - FIELDS:
        raise ValueError(f"unknown {', '.join(sorted(unknown))}; fields are {', '.join(sorted(FIELDS))}")
    if entry["route"] not in NEEDS:
        raise ValueError(f"unknown route {entry['route']}; routes are {', '.join(NEEDS)}")
    return Kind(**{**entry, "length": LogNormal(**entry["length"])})
