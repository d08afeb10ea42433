"""The same client on httpx, which shows the cost of an SDK."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cache

import httpx

from bench.driver.client import Answer, authority

HTTPS = 443
_tls_context = cache(httpx.create_ssl_context)  # shared, because creating one takes 20 ms


class Client:
    """One httpx client with one keep-alive connection. After `close`, the next use opens another."""

    def __init__(self, host: str, port: int, headers: Mapping[str, str]) -> None:
        self._base_url = f"{'https' if port == HTTPS else 'http'}://{authority(host, port)}"
        self._headers = {"content-type": "application/json", **headers}
        self._client: httpx.AsyncClient | None = None

    def serialise(self, path: str, body: bytes) -> bytes:
        """Return path and body; httpx writes the headers at each send."""
        return path.encode() + b"\n" + body

    async def connect(self) -> None:
        """Create the httpx client, which connects with its first request."""
        if self._client is None:
            self._client = httpx.AsyncClient(
                base_url=self._base_url,
                headers=self._headers,
                verify=_tls_context(),
                trust_env=False,
                timeout=None,  # noqa: S113 # nosec B113 (the driver has its own timeout)
            )

    async def send(self, request: bytes) -> Answer:
        """Send one request and return its whole answer. Raises OSError if the connection breaks."""
        await self.connect()
        assert self._client is not None  # noqa: S101  (connect sets it)
        path, _, body = request.partition(b"\n")
        try:
            response = await self._client.post(path.decode(), content=body)
        except httpx.HTTPError as error:
            raise ConnectionError(f"{type(error).__name__}: {error}") from error
        return Answer(response.status_code, response.content, time.perf_counter_ns())

    async def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None
