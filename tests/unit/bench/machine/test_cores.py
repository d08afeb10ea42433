"""The division of a machine's cores between server and load, from what Linux shows of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.machine import cgroup, core_lists, cores, topology
from bench.machine.cores import Pinning
from bench.machine.topology import Topology

PINNED_RUN = "from bench.machine import cores; cores.check(cores.choose())"


def write_cpus(system: Path, siblings: dict[int, str], capacities: dict[int, int] | None = None) -> Path:
    """Write the topology of a machine as Linux does; every four CPUs share a last cache."""
    for cpu, shared in siblings.items():
        folder = system / "sys" / "devices" / "system" / "cpu" / f"cpu{cpu}"
        (folder / "topology").mkdir(parents=True)
        (folder / "topology" / "thread_siblings_list").write_text(f"{shared}\n")
        for level, cpus in ((1, shared), (3, f"{cpu // 4 * 4}-{cpu // 4 * 4 + 3}")):
            cache = folder / "cache" / f"index{level}"
            cache.mkdir(parents=True)
            (cache / "level").write_text(f"{level}\n")
            (cache / "shared_cpu_list").write_text(f"{cpus}\n")
        if capacities:
            (folder / "cpu_capacity").write_text(f"{capacities[cpu]}\n")
    return system


def test_the_client_never_runs_on_a_sibling_of_the_server(tmp_path: Path) -> None:
    """Of four CPUs on two physical cores, one each is used and the siblings stay idle."""
    machine = topology.read(write_cpus(tmp_path, {0: "0-1", 1: "0-1", 2: "2-3", 3: "2-3"}))

    assert cores.split((0, 1, 2, 3), machine=machine) == Pinning((2,), (0,), (1, 3))
    assert cores.split((0, 1, 2, 3), (1,), machine) == Pinning((1,), (2,), (0, 3))


def test_siblings_that_are_far_apart_are_found(tmp_path: Path) -> None:
    """Of eight CPUs where 0 and 4 share a core, the server is on 1 to 3 and the driver on 0."""
    machine = topology.read(write_cpus(tmp_path, {cpu: f"{cpu % 4},{cpu % 4 + 4}" for cpu in range(8)}))

    assert cores.split(tuple(range(8)), machine=machine) == Pinning((1, 2, 3), (0,), (4, 5, 6, 7))


def test_the_server_gets_fast_cores_only(tmp_path: Path) -> None:
    """Efficiency cores drive the load: an Intel processor lists them, an ARM one has a smaller capacity."""
    intel = write_cpus(tmp_path / "intel", {cpu: str(cpu) for cpu in range(4)})
    (intel / "sys" / "devices" / "cpu_atom").mkdir()
    (intel / "sys" / "devices" / "cpu_atom" / "cpus").write_text("2-3\n")
    capacities = {0: 400, 1: 400, 2: 1024, 3: 1024}
    arm = write_cpus(tmp_path / "arm", {cpu: str(cpu) for cpu in range(4)}, capacities)

    assert cores.split((0, 1, 2, 3), machine=topology.read(intel)) == Pinning((0, 1), (2,), (3,))
    assert cores.split((0, 1, 2, 3), machine=topology.read(arm)) == Pinning((2, 3), (0,), (1,))


def test_the_manifest_has_siblings_and_caches(tmp_path: Path) -> None:
    """Lists of CPUs, as Linux writes them."""
    machine = topology.read(write_cpus(tmp_path, {cpu: f"{cpu % 4},{cpu % 4 + 4}" for cpu in range(8)}))

    assert machine.describe() == {
        "physical_cores": ["0,4", "1,5", "2,6", "3,7"],
        "last_level_caches": ["0-3", "4-7"],
        "efficiency_cores": [],
    }


def test_a_system_that_shows_nothing_has_cores_of_one_kind(tmp_path: Path) -> None:
    """Every CPU is then a physical core."""
    assert topology.read(tmp_path) == Topology({}, {})
    assert cores.split((0, 1), machine=topology.read(tmp_path)) == Pinning((1,), (0,))


@pytest.mark.parametrize(
    ("quota", "pinning"),
    [
        (None, Pinning((1, 2, 3), (0,))),
        (2.5, Pinning((1,), (0,), (2, 3))),
        (4.0, Pinning((1, 2, 3), (0,))),
        (1.5, Pinning((0,), (0,), (1, 2, 3))),
    ],
)
def test_a_quota_limits_server_and_driver_together(quota: float | None, pinning: Pinning) -> None:
    """Four cores with a quota of 2.5 CPUs are two that the quota never stops; 1.5 CPUs are not enough for two."""
    assert cores.split((0, 1, 2, 3), quota=quota) == pinning


def test_siblings_alone_cannot_be_separated() -> None:
    """Two CPUs of one physical core are one core."""
    machine = Topology({0: (0, 1), 1: (0, 1)}, {})

    assert not cores.split((0, 1), machine=machine).disjoint


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no CPU affinity")
def test_one_core_is_refused_before_anything_is_measured() -> None:
    """The error says which core, and what can be done with it."""
    only = cores.available()[0]
    code = f"import os; os.sched_setaffinity(0, [{only}]); {PINNED_RUN}"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)  # noqa: S603

    assert done.returncode == 1
    assert f"BenchError: nothing can be timed here: this process may use core {only} only" in done.stderr
    assert "--target" in done.stderr


def test_a_server_on_every_core_is_refused() -> None:
    """No core is left for the load."""
    everything = tuple(range(4))
    pinning = cores.split(everything, everything)

    with pytest.raises(BenchError, match="nothing can be timed here"):
        cores.check(pinning)


def write_cgroup(system: Path, mounts: str, own: str, files: dict[str, str]) -> Path:
    """Write the files of /proc and of the cgroup hierarchy."""
    own_proc = system / "proc" / "self"
    own_proc.mkdir(parents=True)
    (own_proc / "mountinfo").write_text(mounts)
    (own_proc / "cgroup").write_text(own)
    for name, text in files.items():
        file = system / "sys" / "fs" / "cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return system


V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup rw\n"
V1 = "31 23 0:27 {root} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"


def test_the_smallest_quota_above_this_process_counts(tmp_path: Path) -> None:
    """In cgroup v2 a group has no more than those above it."""
    files = {
        "cgroup.controllers": "cpuset cpu memory\n",
        "a/cpu.max": "150000 100000\n",
        "a/cpu.stat": "usage_usec 5\nnr_periods 9\nnr_throttled 3\n",
        "a/b/cpu.max": "max 100000\n",
        "a/b/memory.max": "2147483648\n",
        "a/b/cpu.stat": "nr_throttled 0\n",
    }
    system = write_cgroup(tmp_path, V2, "0::/a/b\n", files)

    assert cgroup.quota(system) == 1.5
    assert cgroup.throttled(system) == 3
    assert cgroup.memory_gib(system) == 2


def test_a_container_sees_its_own_group_at_the_mount(tmp_path: Path) -> None:
    """cgroup v1: the mount shows the container's group, whose path the process knows from the host."""
    files = {
        "cpu,cpuacct/cpu.cfs_quota_us": "200000\n",
        "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        "cpu,cpuacct/cpu.stat": "nr_throttled 7\n",
    }
    system = write_cgroup(tmp_path, V1.format(root="/docker/x"), "4:cpu,cpuacct:/docker/x\n", files)

    assert cgroup.quota(system) == 2
    assert cgroup.throttled(system) == 7
    assert cgroup.memory_gib(system) is None


def test_no_limit_is_none(tmp_path: Path) -> None:
    """Without a quota, and on a system without control groups."""
    files = {"cgroup.controllers": "cpu\n", "cpu.max": "max 100000\n"}

    assert cgroup.quota(write_cgroup(tmp_path / "linux", V2, "0::/\n", files)) is None
    assert cgroup.quota(tmp_path / "mac") is None
    assert cgroup.throttled(tmp_path / "mac") == 0


def test_lists_of_cores_are_written_as_they_are_read() -> None:
    """Runs are joined."""
    assert core_lists.render((5, 1, 2, 3)) == "1-3,5"
    assert core_lists.parse(core_lists.render((0, 2, 4, 5))) == (0, 2, 4, 5)
