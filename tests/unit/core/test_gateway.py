"""A gateway in this process: what its probes say of its ingest worker."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx

from gateways.core.app.create_app import create_app
from gateways.core.gateway import Gateway
from gateways.core.inference.pseudo_backend import PseudoBackend
from gateways.core.process_settings import ThinGatewaySettings


def test_a_gateway_whose_worker_died_is_neither_live_nor_ready(tmp_path: Path) -> None:
    """It would accept jobs that nobody works on."""

    async def scenario() -> None:
        gateway = Gateway("pseudo", PseudoBackend(), ThinGatewaySettings(data_dir=tmp_path))
        transport = httpx.ASGITransport(app=create_app(gateway))
        await gateway.start()
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            before = [(await client.get(path)).status_code for path in ("/healthz", "/readyz")]
            gateway._worker_task.cancel()
            await asyncio.wait([gateway._worker_task])
            health, ready = await client.get("/healthz"), await client.get("/readyz")
        await gateway.stop()

        assert before == [200, 200]
        assert (health.status_code, ready.status_code) == (503, 503)
        assert health.json()["reason"] == ready.json()["reason"] == "the ingest worker has died"

    asyncio.run(scenario())
