"""
Which logical CPUs share a physical core or a cache, and which are slower cores, as Linux shows it below /sys.

Other systems show nothing there. Every CPU is then a core of its own, of one kind.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.machine.core_lists import parse, render

SYSTEM = Path("/")


@dataclass(frozen=True)
class Topology:
    """
    The logical CPUs of the machine.

    `siblings` maps each CPU to all CPUs of its physical core, itself included. `last_level` maps it to those that
    share its last cache. `slow` holds the efficiency cores of a machine that has two kinds.
    """

    siblings: dict[int, tuple[int, ...]]
    last_level: dict[int, tuple[int, ...]]
    slow: frozenset[int] = frozenset()

    def physical(self, available: Iterable[int]) -> list[tuple[int, ...]]:
        """Return the available CPUs grouped by physical core: fast cores first, then by their lowest number."""
        cpus = set(available)
        groups = {tuple(c for c in self.siblings.get(cpu, (cpu,)) if c in cpus) for cpu in cpus}
        return sorted(groups, key=lambda group: (group[0] in self.slow, group))

    def describe(self) -> dict[str, list[str]]:
        """Return the facts for a manifest: lists of CPUs as `0-3,8`."""
        return {
            "physical_cores": _render_groups(self.siblings.values()),
            "last_level_caches": _render_groups(self.last_level.values()),
            "efficiency_cores": [render(self.slow)] if self.slow else [],
        }


def read(system: Path = SYSTEM) -> Topology:
    """Return the topology. `system` is the folder with its sys."""
    cpus = system / "sys" / "devices" / "system" / "cpu"
    folders = {int(folder.name[3:]): folder for folder in cpus.glob("cpu[0-9]*")}
    siblings = {cpu: _read_list(folder / "topology" / "thread_siblings_list") for cpu, folder in folders.items()}
    caches = {cpu: _read_last_cache(folder) for cpu, folder in folders.items()}
    return Topology(
        siblings={cpu: shared for cpu, shared in siblings.items() if shared},
        last_level={cpu: shared for cpu, shared in caches.items() if shared},
        slow=frozenset(_read_list(system / "sys" / "devices" / "cpu_atom" / "cpus") or _find_small(folders)),
    )


def _find_small(folders: dict[int, Path]) -> tuple[int, ...]:
    """Return the CPUs below the highest capacity, which Linux tells of ARM machines with two kinds of cores."""
    capacities = {cpu: _read_number(folder / "cpu_capacity") for cpu, folder in folders.items()}
    return tuple(cpu for cpu, capacity in capacities.items() if capacity < max(capacities.values()))


def _read_last_cache(folder: Path) -> tuple[int, ...]:
    caches = {_read_number(cache / "level"): cache for cache in (folder / "cache").glob("index[0-9]*")}
    return _read_list(caches[max(caches)] / "shared_cpu_list") if caches else ()


def _read_list(file: Path) -> tuple[int, ...]:
    text = file.read_text().strip() if file.exists() else ""
    return parse(text) if text else ()


def _read_number(file: Path) -> int:
    return int(file.read_text()) if file.exists() else 0


def _render_groups(groups: Iterable[tuple[int, ...]]) -> list[str]:
    return [render(group) for group in sorted(set(groups))]
