"""The control group of this process: its CPU quota, how often the quota stopped it, and its memory limit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SYSTEM = Path("/")
GIB = 2**30
# cgroup v1 writes a number near 2**63 for "no limit".
UNLIMITED = 2**60
MEMORY_FILES = ("memory.max", "memory.limit_in_bytes")


@dataclass(frozen=True)
class Mount:
    """A mounted hierarchy: its folder, the path in the hierarchy that it shows, and whether it is cgroup v2."""

    folder: Path
    root: str
    unified: bool


def quota(system: Path = SYSTEM) -> float | None:
    """Return the smallest CPU quota of this group and those above it, in cores; None without one."""
    limits = [limit for group in _groups("cpu", system) if (limit := _read_quota(group)) is not None]
    return min(limits, default=None)


def memory_gib(system: Path = SYSTEM) -> float | None:
    """Return the smallest memory limit of this group and those above it, in GiB; None without one."""
    texts = [_read(group / name) for group in _groups("memory", system) for name in MEMORY_FILES]
    limits = [int(text) for text in texts if text.isdigit() and int(text) < UNLIMITED]
    return min(limits, default=0) / GIB or None


def throttled(system: Path = SYSTEM) -> int:
    """Return how many scheduler periods this group and those above it have been stopped in by their quota."""
    statistics = [_read(group / "cpu.stat") for group in _groups("cpu", system)]
    counts = [re.search(r"^nr_throttled (\d+)", text, re.MULTILINE) for text in statistics]
    return sum(int(count[1]) for count in counts if count)


def own_group(controller: str, system: Path = SYSTEM) -> tuple[Path, bool] | None:
    """Return this process's group of a controller and whether it is cgroup v2; None without that controller."""
    mount = _find_mount(controller, system)
    if mount is None:
        return None
    path = _own_path(controller, mount, system)
    relative = path.removeprefix(mount.root.rstrip("/")).strip("/")
    group = mount.folder / relative
    return (group if group.is_dir() else mount.folder), mount.unified


def _groups(controller: str, system: Path) -> Iterator[Path]:
    """Yield this process's group and those above it, up to the mounted root."""
    mount, own = _find_mount(controller, system), own_group(controller, system)
    if mount is None or own is None:
        return
    group = own[0]
    while True:
        yield group
        if group == mount.folder:
            return
        group = group.parent


@cache
def _find_mount(controller: str, system: Path) -> Mount | None:
    """Return the hierarchy of a controller: that of cgroup v1 if it is mounted, else cgroup v2."""
    mounts = []
    for line in _read(system / "proc" / "self" / "mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        root, folder = left.split()[3:5]
        kind, _, options = right.split()[:3]
        if kind == "cgroup" and controller in options.split(","):
            return Mount(system / folder.lstrip("/"), root, unified=False)
        if kind == "cgroup2":
            mounts.append(Mount(system / folder.lstrip("/"), root, unified=True))
    return next((mount for mount in mounts if controller in _read(mount.folder / "cgroup.controllers").split()), None)


def _own_path(controller: str, mount: Mount, system: Path) -> str:
    for line in _read(system / "proc" / "self" / "cgroup").splitlines():
        _, names, path = line.split(":", 2)
        if (mount.unified and not names) or (not mount.unified and controller in names.split(",")):
            return path
    return "/"


def _read_quota(group: Path) -> float | None:
    if text := _read(group / "cpu.max"):
        quota_us, period_us = text.split()
        return None if quota_us == "max" else int(quota_us) / int(period_us)
    quota_us, period_us = _read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us")
    return int(quota_us) / int(period_us) if period_us and int(quota_us) > 0 else None


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
