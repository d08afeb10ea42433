"""
A cpuset per set of cores: a pin that the pinned program cannot lift.

A program may set the affinity of its own threads, as ONNX Runtime does, and so leave the cores that it was started
on. In a cpuset the kernel keeps it on them. A cpuset is a control group, which root can make, and others where the
system delegates one to them. It is removed when the harness ends, or when a later one finds it empty.
"""

from __future__ import annotations

import atexit
import os
import re
import subprocess
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil

from bench.machine import cgroup
from bench.machine.core_lists import parse, render

NAME = re.compile(r"bench-(\d+)-")
# The shell enters the group and becomes the program, so that every thread of it begins inside.
ENTER = 'echo 0 > "$0" && exec "$@"'


def enter_command(cores: tuple[int, ...], system: Path = cgroup.SYSTEM) -> tuple[str, ...]:
    """Return the command prefix that enters a cpuset of these cores and then execs; () where none can be made."""
    group = _find_or_make(cores, system) if cores else None
    return () if group is None else _entrance(group)


def _entrance(group: Path) -> tuple[str, ...]:
    return ("sh", "-c", ENTER, str(group / "cgroup.procs"))


@cache
def _find_or_make(cores: tuple[int, ...], system: Path) -> Path | None:
    found = cgroup.own_group("cpuset", system)
    if found is None:
        return None
    own, unified = found
    # A cgroup v2 group with processes in it can have no groups with controllers, and the one above it can.
    parents = [own, own.parent] if unified and (own.parent / "cgroup.procs").exists() else [own]
    for parent in parents:
        group = parent / f"bench-{os.getpid()}-{render(cores)}"
        try:
            _make(parent, group, cores, unified)
        except OSError:
            _remove(group)
        else:
            atexit.register(_remove, group)
            return group
    return None


def _make(parent: Path, group: Path, cores: tuple[int, ...], unified: bool) -> None:
    """Make the group. Raises OSError where the system does not allow it, or gives it other cores."""
    _remove_stale(parent)
    if unified:
        (parent / "cgroup.subtree_control").write_text("+cpuset")
    group.mkdir()
    (group / "cpuset.cpus").write_text(render(cores))
    if not unified:  # cgroup v1 lets nothing in before it has memory nodes
        (group / "cpuset.mems").write_text((parent / "cpuset.mems").read_text())
    effective = group / ("cpuset.cpus.effective" if unified else "cpuset.effective_cpus")
    if effective.exists() and set(parse(effective.read_text().strip())) != set(cores):
        raise OSError(f"{effective} differs from {render(cores)}")
    # A user may be allowed to make a group and not to move a process into it.
    if subprocess.run([*_entrance(group), "true"], capture_output=True, check=False).returncode:  # noqa: S603
        raise OSError(f"{group} cannot be entered")


def _remove_stale(parent: Path) -> None:
    """Remove the groups of harnesses that were killed."""
    for group in parent.glob("bench-*"):
        owner = NAME.match(group.name)
        if owner and not psutil.pid_exists(int(owner[1])):
            _remove(group)


def _remove(group: Path) -> None:
    """Remove the group if it exists and no process is in it."""
    with suppress(OSError):
        group.rmdir()
