"""How long bytes have waited in the kernel for a process that did not read them."""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from typing import Protocol

# `tcpi_last_data_recv` of Linux's `struct tcp_info`: milliseconds since the last bytes arrived.
_OFFSET, _SIZE = 52, 56
_TCP_INFO: int | None = getattr(socket, "TCP_INFO", None)


class Socket(Protocol):
    """What a transport shows of its socket."""

    def fileno(self) -> int: ...  # noqa: D102
    def getsockopt(self, level: int, option: int, size: int, /) -> bytes: ...  # noqa: D102


def waited_s(connection: Socket) -> float:
    """Return for how many seconds the newest unread bytes of a socket have waited; 0.0 if unknown, or without any."""
    if _TCP_INFO is None:
        return 0.0
    try:
        unread_bytes = struct.unpack("=i", fcntl.ioctl(connection.fileno(), termios.FIONREAD, b"\0" * 4))[0]
        info = connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _SIZE) if unread_bytes else b""
    except (OSError, ValueError):  # closed by now, or no TCP
        return 0.0
    return float(struct.unpack_from("=I", info, _OFFSET)[0]) / 1e3 if len(info) == _SIZE else 0.0
