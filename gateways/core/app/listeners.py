"""The sockets of a server, opened before anything else is, with errors that name the setting at fault."""

from __future__ import annotations

import errno
import os
import socket


class CannotListen(Exception):
    """The address cannot be listened on; the message names HOST or PORT, and what would be right."""


def listen(host: str, port: int, backlog: int) -> list[socket.socket]:
    """Return a listening socket for each address of `host`. Raises CannotListen."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        raise CannotListen(f"HOST={host} is no address; set 127.0.0.1, or 0.0.0.0 to serve other machines.") from None
    listeners: list[socket.socket] = []
    for family, _, _, _, address in dict.fromkeys(found):
        try:
            listeners.append(_open(family, address, backlog))
        except OSError as error:
            for listener in listeners:
                listener.close()
            raise CannotListen(_explain(error, host, port)) from None
    return listeners


def _open(family: int, address: object, backlog: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)  # type: ignore[arg-type]  # an address of getaddrinfo
        listener.listen(backlog)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _explain(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"PORT={port} is taken; choose another."
    if error.errno == errno.EACCES:
        return f"PORT={port} is not allowed to this user; choose one above 1023."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"HOST={host} is no address of this machine; set 127.0.0.1, or 0.0.0.0 to serve other machines."
    return f"HOST={host} PORT={port} cannot be listened on: {os.strerror(error.errno or 0)}."
