"""A program in a cpuset cannot leave its cores; without one it can, and is found out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.machine import cores, cpuset

ESCAPE = """
import os
try:
    os.sched_setaffinity(0, [{other}])
except OSError:
    pass
print(sorted(os.sched_getaffinity(0)))
"""


def test_a_program_in_a_cpuset_cannot_leave_it() -> None:
    """It asks for another core, as ONNX Runtime does, and stays on its own."""
    if len(cores.available()) < 2:
        pytest.skip("one core")
    own, other = cores.available()[:2]
    prefix = cpuset.enter_command((own,))
    if not prefix:
        pytest.skip("this system delegates no cpuset")

    done = subprocess.run(  # noqa: S603
        [*prefix, sys.executable, "-c", ESCAPE.format(other=other)], capture_output=True, text=True, check=True
    )

    assert done.stdout == f"[{own}]\n"


def test_the_cpuset_ends_with_the_harness() -> None:
    """Nothing of it stays in the system."""
    code = "from bench.machine import cores, cpuset; print(*cpuset.enter_command(cores.available()[:1]))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603

    if not done.stdout.strip():
        pytest.skip("this system delegates no cpuset")
    assert not Path(done.stdout.split()[-1]).exists()


def test_a_system_without_cpusets_gives_none(tmp_path: Path) -> None:
    """The affinity alone then holds a target, and the threads' affinities are looked at."""
    assert cpuset.enter_command((0,), tmp_path) == ()


def test_a_group_that_cannot_be_entered_is_no_cpuset(tmp_path: Path) -> None:
    """A folder that looks like a control group and refuses processes leaves nothing behind."""
    root = tmp_path / "sys" / "fs" / "cgroup"
    root.mkdir(parents=True)
    (root / "cgroup.controllers").write_text("cpuset cpu\n")
    proc = tmp_path / "proc" / "self"
    proc.mkdir(parents=True)
    (proc / "mountinfo").write_text("30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n")
    (proc / "cgroup").write_text("0::/\n")
    (root / "cgroup.subtree_control").mkdir()  # it cannot be written, as in a container

    assert cpuset.enter_command((0,), tmp_path) == ()
    assert not list(root.glob("bench-*"))
