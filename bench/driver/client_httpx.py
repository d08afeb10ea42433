"""The same client on httpx: what an SDK costs, for those who want to see it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cache

import httpx

from bench.driver.client import Answer

HTTPS = 443
_tls = cache(httpx.create_ssl_context)  # one for all clients: each would take 20 ms to make its own


class Client:
    """One httpx client with one keep-alive connection; used again after `close`, it opens another."""

    def __init__(self, host: str, port: int, headers: Mapping[str, str]) -> None:
        self._base_url = f"{'https' if port == HTTPS else 'http'}://{host}:{port}"
        self._headers = {"content-type": "application/json", **headers}
        self._client: httpx.AsyncClient | None = None

    def serialise(self, path: str, body: bytes) -> bytes:
        """Path and body: httpx writes the rest each time."""
        return path.encode() + b"\n" + body

    async def connect(self) -> None:
        """httpx itself connects with the first request."""
        if self._client is None:
            self._client = httpx.AsyncClient(
                base_url=self._base_url,
                headers=self._headers,
                verify=_tls(),
                trust_env=False,
                timeout=None,  # noqa: S113 # nosec B113 (the driver has its own)
            )

    async def send(self, request: bytes) -> Answer:
        """Send one request and await its whole answer; raises OSError when the connection breaks."""
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
