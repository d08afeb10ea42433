"""Memory and CPU of processes that the system does not let the harness read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from bench.measurement.observation import pairs
from bench.measurement.process_sampler import Memory, total
from tests.support.gateways import ROOT

# A process that forbids its own reading: PR_SET_DUMPABLE is 4. Only CAP_SYS_PTRACE may read its maps.
HIDDEN = "import ctypes, sys, time; ctypes.CDLL(None).prctl(4, 0); print('hidden', flush=True); time.sleep(300)"
READS = """
import json, subprocess, sys
from pathlib import Path
from types import SimpleNamespace
from bench.measurement import process_sampler
from bench.targets import Role
from bench.targets.processes import Process
process = Process(Role("gateway", "", (), "/"), SimpleNamespace(pid=int(sys.argv[1])), 1, Path())
server = SimpleNamespace(processes=[process])
sampler = process_sampler.Sampler(server)
sampler.start()
usage = sampler.stop()
read = process_sampler.memory(server)["gateway"]
print(json.dumps({**vars(read), "peak": usage.peak(), "cpu_readable": usage.cpu_readable}))
"""


@pytest.fixture
def hidden() -> Iterator[int]:
    """Yield the id of a process that only its administrator may read."""
    with subprocess.Popen([sys.executable, "-c", HIDDEN], stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None
        assert process.stdout.readline() == "hidden\n"
        yield process.pid
        process.kill()


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("setpriv"), reason="needs Linux and setpriv")
def test_a_process_that_may_not_be_read_is_an_empty_cell(hidden: int) -> None:
    """Its resident size is public, the rest is None, and nothing raises."""
    unprivileged = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"] if os.geteuid() == 0 else []
    command = [*unprivileged, sys.executable, "-c", READS, str(hidden)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 our own

    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    assert read["rss"] > 1
    assert read["pss"] is None
    assert read["uss"] is None
    assert read["peak"]["gateway"] > 1
    assert read["cpu_readable"]


def test_a_part_of_a_sum_is_no_sum() -> None:
    """One unreadable role leaves the cell of all roles empty."""
    embed, front = Memory(80.0, None, None), Memory(40.0, 30.0, 20.0)

    assert total(role.rss for role in (embed, front)) == 120
    assert total(role.pss for role in (embed, front)) is None
    assert pairs({"embed": embed.pss, "front": front.pss}, 1) == ""
    assert pairs({"embed": embed.rss, "front": front.rss}, 1) == "embed=80.0 front=40.0"
