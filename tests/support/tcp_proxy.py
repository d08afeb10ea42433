"""What stands between two processes and spoils what one of them says."""

from __future__ import annotations

import selectors
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Bytes from the server to what reaches the client; None closes the connection at once.
Spoil = Callable[[bytes], bytes | None]
PIECE = 1 << 20


class Proxy(socketserver.ThreadingTCPServer):
    """Hand bytes on in both directions; `spoil`, while it is set, sees all that the server says."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, upstream: Callable[[], tuple[str, int]]) -> None:
        """Ask `upstream` for each connection where it goes."""
        super().__init__(("127.0.0.1", 0), _Pump)
        self.upstream = upstream
        self.spoil: Spoil | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Pump(socketserver.BaseRequestHandler):
    server: Proxy

    def handle(self) -> None:
        try:
            with socket.create_connection(self.server.upstream()) as server, selectors.DefaultSelector() as ready:
                ready.register(self.request, selectors.EVENT_READ, server)
                ready.register(server, selectors.EVENT_READ, self.request)
                while all(self._hand_on(key.fileobj, key.data, server) for key, _ in ready.select()):
                    pass
        except OSError:
            pass  # the upstream was killed, or the client went away: the connection just ends

    def _hand_on(self, source: object, target: socket.socket, server: socket.socket) -> bool:
        assert isinstance(source, socket.socket)
        piece: bytes | None = source.recv(PIECE)
        if piece and source is server and self.server.spoil:
            piece = self.server.spoil(piece)
        if not piece:
            return False
        target.sendall(piece)
        return True


@contextmanager
def proxy_to(host: str, port: int) -> Iterator[Proxy]:
    """Yield a proxy in front of a server, which need not run yet."""
    with balancing(lambda: (host, port)) as proxy:
        yield proxy


@contextmanager
def balancing(upstream: Callable[[], tuple[str, int]]) -> Iterator[Proxy]:
    """Yield a proxy that asks for each connection where it goes."""
    with Proxy(upstream) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()
