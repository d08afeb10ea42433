"""Embeddings of single texts are remembered: one forward pass for all who ask, and never another answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from gateways.core.backend import DEFAULT_OPTIONS, Embeddings, EncodeOptions
from gateways.core.errors import InvalidRequest
from gateways.core.inference.local_backend import LocalBackend
from gateways.core.models.registry import ModelRegistry
from gateways.core.observability import metrics
from gateways.core.settings import ModelSettings

ROOT = Path(__file__).resolve().parents[4]
TEXT = "How many vacation days do I get?"


def passes() -> int:
    """Return how many texts went through a model in this process."""
    return int(metrics.registry.get_sample_value("gateway_forward_texts_total") or 0)


def with_encoders(scenario: Callable[[ModelRegistry], Awaitable[None]], cache_bytes: int = 1_000_000) -> None:
    """Ask MiniLM on ONNX Runtime, through a cache."""
    onnx = pytest.importorskip("gateways.onnx_py.runtime")
    settings = ModelSettings(models_file=ROOT / "models.yaml", models_dir=ROOT / "models", device="cpu", threads=1)

    async def run() -> None:
        async with LocalBackend(onnx, settings) as backend:
            await scenario(ModelRegistry(backend, cache_bytes))

    asyncio.run(run())


async def embed(registry: ModelRegistry, text: str = TEXT, options: EncodeOptions = DEFAULT_OPTIONS) -> Embeddings:
    """Embed one text with the default model."""
    return await registry.embed(registry.model(None), [text], options)


def test_a_repeat_is_the_same_answer_and_no_forward_pass() -> None:
    """To the bit, and nobody can change what the next one gets."""

    async def scenario(registry: ModelRegistry) -> None:
        first = await embed(registry)
        before = passes()

        again = await embed(registry)

        assert passes() == before
        assert np.array_equal(again.vectors, first.vectors)
        assert again.token_counts == first.token_counts
        assert again.infer_ms == 0
        with pytest.raises(ValueError, match="read-only"):
            again.vectors[0, 0] = 1

    with_encoders(scenario)


def test_what_the_answer_depends_on_is_asked_for_anew() -> None:
    """Another text, another end to cut, and the vectors of its tokens; each is remembered for itself."""

    async def scenario(registry: ModelRegistry) -> None:
        long = "word " * 1_000
        asks = [DEFAULT_OPTIONS, EncodeOptions("START"), EncodeOptions(tokens=True)]
        before = passes()
        for _ in range(2):
            for options in asks:
                await embed(registry, long, options)
                await embed(registry, TEXT, options)

        assert passes() - before == 6
        assert (await embed(registry, TEXT, EncodeOptions(tokens=True))).tokens
        assert (await embed(registry)).tokens is None

    with_encoders(scenario)


def test_only_queries_are_remembered() -> None:
    """What is ingested, and what comes in a list of several, drives no query out."""

    async def scenario(registry: ModelRegistry) -> None:
        model = registry.model(None)
        for _ in range(2):
            before = passes()
            await embed(registry, TEXT, EncodeOptions(lane="bulk"))
            await registry.embed(model, [TEXT, TEXT])
            assert passes() == before + 3

    with_encoders(scenario)


def test_who_asks_while_it_is_made_waits_for_it() -> None:
    """A hundred at once are one forward pass."""

    async def scenario(registry: ModelRegistry) -> None:
        before = passes()

        made = await asyncio.gather(*(embed(registry) for _ in range(100)))

        assert passes() - before == 1
        assert all(np.array_equal(answer.vectors, made[0].vectors) for answer in made)

    with_encoders(scenario)


def test_who_gives_up_spoils_it_for_nobody() -> None:
    """The next one who waits has it made."""

    async def scenario(registry: ModelRegistry) -> None:
        first = asyncio.create_task(embed(registry))
        others = [asyncio.create_task(embed(registry)) for _ in range(3)]
        await asyncio.sleep(0)
        first.cancel()

        made = await asyncio.gather(*others)

        assert first.cancelled() or first.done()
        assert all(answer.vectors.shape == (1, 384) for answer in made)

    with_encoders(scenario)


def test_an_error_is_told_to_all_and_not_remembered() -> None:
    """A text that is too long is so for everyone who waits, and every time."""

    async def scenario(registry: ModelRegistry) -> None:
        for _ in range(2):
            errors = await asyncio.gather(
                *(embed(registry, "word " * 1_000, EncodeOptions("NONE")) for _ in range(3)), return_exceptions=True
            )

            assert all(isinstance(error, InvalidRequest) for error in errors)

    with_encoders(scenario)


def test_the_budget_holds_and_0_turns_it_off() -> None:
    """What was asked for longest ago is embedded again."""

    async def little(registry: ModelRegistry) -> None:
        for text in ("one", "two", "three", "one"):
            before = passes()
            await embed(registry, text)
            assert passes() == before + 1

    async def nothing(registry: ModelRegistry) -> None:
        for _ in range(2):
            before = passes()
            await embed(registry)
            assert passes() == before + 1

    with_encoders(little, cache_bytes=5_000)
    with_encoders(nothing, cache_bytes=0)
