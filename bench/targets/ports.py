"""Ports of 127.0.0.1 for the servers that are started here."""

from __future__ import annotations

import os
import socket
import sys
from collections import deque

HELD = 256
_held: deque[int] = deque()  # file descriptors of bound sockets, oldest first


def free_port() -> int:
    """
    Reserve a port that nothing listens on, and return its number.

    On Linux a socket of ours stays bound to it and never listens. The kernel then gives the port to nobody else, and
    a server, which sets SO_REUSEADDR, can still bind it, and bind it again after a restart. The newest 256 are held.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        if sys.platform == "linux":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _hold(os.dup(probe.fileno()))
        return int(probe.getsockname()[1])


def _hold(descriptor: int) -> None:
    _held.append(descriptor)
    if len(_held) > HELD:
        os.close(_held.popleft())
