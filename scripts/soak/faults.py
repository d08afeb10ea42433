"""The faults of a soak. The name of each function is the fault's name in the plot."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Sequence

import httpx

from scripts.soak.load import Load
from tests.support.gateways import Gateway, Process

# Within the time that a client waits, so a paused process fails no request.
PAUSE_S = 8.0


async def kill_front(gateway: Gateway, load: Load) -> None:
    """Send SIGKILL to the process that clients connect to, and start it again."""
    await _restart(gateway.front)


async def kill_first(gateway: Gateway, load: Load) -> None:
    """Send SIGKILL to the process that runs the model, and start it again."""
    await _restart(next(iter(gateway.processes.values())))


async def pause_front(gateway: Gateway, load: Load) -> None:
    """Stop the process that clients connect to for PAUSE_S, and let it go on."""
    await _pause(gateway.front)


async def pause_first(gateway: Gateway, load: Load) -> None:
    """Stop the process that runs the model for PAUSE_S, and let it go on."""
    await _pause(next(iter(gateway.processes.values())))


async def hang_up(gateway: Gateway, load: Load) -> None:
    """Send 50 large requests, and close each connection without reading the response."""
    host, port = gateway.url.removeprefix("http://").split(":")
    for _ in range(50):
        _, writer = await asyncio.open_connection(host, int(port))
        body = httpx.Request("POST", gateway.url, json={"input": [load.text(50, 120) for _ in range(16)]}).read()
        fields = ["Host: here", "Content-Type: application/json", f"Content-Length: {len(body)}"]
        writer.write("\r\n".join(["POST /v1/embeddings HTTP/1.1", *fields, "", ""]).encode() + body)
        await writer.drain()
        writer.close()


async def half_requests(gateway: Gateway, load: Load) -> None:
    """Send half a request head on each of 100 connections, and keep them open for 5 seconds (slowloris)."""
    host, port = gateway.url.removeprefix("http://").split(":")
    connections = [await asyncio.open_connection(host, int(port)) for _ in range(100)]
    for _, writer in connections:
        writer.write(b"POST /v1/embeddings HTTP/1.1\r\nHost: here\r\nContent-Le")
    await asyncio.sleep(5)
    for _, writer in connections:
        writer.close()


async def burst(gateway: Gateway, load: Load) -> None:
    """Send 300 requests at once."""
    await asyncio.gather(*(load.send_request() for _ in range(300)))


FAULTS: Sequence[Callable[[Gateway, Load], Awaitable[None]]] = (
    kill_front,
    pause_front,
    hang_up,
    kill_first,
    pause_first,
    half_requests,
    burst,
)


async def _pause(process: Process) -> None:
    os.kill(process.pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(PAUSE_S)
    finally:
        os.kill(process.pid, signal.SIGCONT)


async def _restart(process: Process) -> None:
    await asyncio.to_thread(process.kill)
    process.launch()  # in this thread: the process ends with the thread that started it
    await asyncio.to_thread(process.wait_ready)
