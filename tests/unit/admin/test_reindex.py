"""The rebuilt store: it replaces the old one only if the model took every document."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateways.admin import reindex
from gateways.admin.reindex import rebuild
from gateways.core.errors import DeadlineExceeded
from gateways.core.inference.pseudo_backend import PseudoBackend
from gateways.core.process_settings import ThinGatewaySettings
from tests.unit.core.ingest.pipeline import FaultyBackend, Pipeline, numbered


async def ingest(folder: Path, count: int) -> None:
    """Make a DATA_DIR with this many documents."""
    pipeline = Pipeline(folder)
    await pipeline.submit(numbered(count))
    await pipeline.worker().drain()
    await pipeline.store.close()
    await pipeline.jobs.close()


def test_a_service_that_rejects_every_text_replaces_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rebuild ends with an error, the old store is as it was, and a later rebuild succeeds."""
    monkeypatch.setattr(reindex, "PATIENCE_S", 0.0)

    async def scenario() -> None:
        settings = ThinGatewaySettings(data_dir=tmp_path)
        await ingest(tmp_path, 4)

        with pytest.raises(RuntimeError, match="good text"):
            await rebuild(FaultyBackend(lambda _: DeadlineExceeded("too slow")), settings)
        assert (tmp_path / "vectors" / "default").is_dir()

        assert await rebuild(PseudoBackend(), settings) == (4, [], tmp_path / "replaced-1")

    asyncio.run(scenario())
