"""The start of one process of a target: its environment, its cores, and its end with the harness."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

from bench import paths
from bench.machine import cores, cpuset

KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")
# By default CUDA numbers cards by speed. NVML numbers them by PCI address, and must watch the card that serves.
GIVEN_ENVIRONMENT = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def launch(
    argv: list[str], environ: dict[str, str], log: Path, on: tuple[int, ...], cwd: Path = paths.ROOT
) -> subprocess.Popen[bytes]:
    """
    Start a process on these cores, in a session of its own so that Ctrl-C reaches the harness alone.

    It is in a cpuset of the cores where one can be made, else only its affinity is set. On Linux it gets SIGTERM when
    the thread that started it ends, so a harness that is killed leaves no orphans.
    """
    kept = {key: os.environ[key] for key in KEPT_ENVIRONMENT if key in os.environ}
    with log.open("wb") as output, cores.pinned(on):
        popen = subprocess.Popen(  # noqa: S603  (the command is the target file's)
            [*parent_death_signal(), *cpuset.enter_command(on), *argv],
            cwd=cwd,
            env=kept | GIVEN_ENVIRONMENT | environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    popen.args = argv  # messages name the program, not setpriv, which it has replaced
    return popen


@cache
def parent_death_signal() -> tuple[str, ...]:
    """The command prefix that sets PR_SET_PDEATHSIG and then execs; empty without util-linux."""
    prefix = (shutil.which("setpriv") or "", "--pdeathsig", "TERM", "--")
    if not prefix[0] or subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:  # noqa: S603
        return ()
    return prefix
