"""How long bytes have waited in the kernel, on real sockets."""

from __future__ import annotations

import socket
import sys
import time

import pytest

from gateways.core.host import unread

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell")


def test_bytes_wait_from_their_arrival_until_they_are_read() -> None:
    """Without any there is no wait, however long the last ones are ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    with client, server:
        assert unread.waited_s(server) == 0.0
        client.sendall(b"a request")
        time.sleep(0.05)
        waited_s = unread.waited_s(server)
        server.recv(100)

        assert 0.04 <= waited_s < 5
        assert unread.waited_s(server) == 0.0


def test_a_socket_that_is_no_tcp_tells_nothing() -> None:
    """Nor does one that is closed."""
    one, other = socket.socketpair()
    other.sendall(b"a request")
    time.sleep(0.002)

    assert unread.waited_s(one) == 0.0
    one.close()
    assert unread.waited_s(one) == 0.0
    other.close()
