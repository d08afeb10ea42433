"""The wall clock of a real process, which jumps when a test says so. The clock of this machine stays as it is."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

from tests.support.gateways import Gateway

SOURCE = Path(__file__).with_name("wall_clock.c")


class WallClock:
    """What the processes that preload it add to the wall clock, in seconds. Their monotonic clocks run on."""

    def __init__(self, folder: Path) -> None:
        """Compile the library into `folder`, with the program `cc`."""
        self._library = folder / "wall_clock.so"
        self._file = folder / "wall_clock"
        self.offset_s = 0.0
        command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(self._library), str(SOURCE)]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603
        self.jump(0)

    def jump(self, offset_s: float) -> None:
        """Set the offset, in running processes too."""
        self.offset_s = offset_s
        descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(descriptor, struct.pack("d", offset_s), 0)
        finally:
            os.close(descriptor)

    def give_to(self, gateway: Gateway) -> None:
        """Let the processes of a gateway have this clock from their next start on."""
        for process in gateway.processes.values():
            process.environ |= {"LD_PRELOAD": str(self._library), "WALL_CLOCK_FILE": str(self._file)}
