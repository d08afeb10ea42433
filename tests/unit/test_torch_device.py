"""Where the torch gateway computes, and in what: a device that is not there is refused, half precision is near."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest

from gateways.core import catalog
from gateways.core.runtime import DenseModel
from gateways.core.settings import Settings
from gateways.core.vectors import normalize

torch = pytest.importorskip("torch")

from gateways.python import device, model, ragged  # noqa: E402  after the check that there is torch
from gateways.python.layout import Layout  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
MINILM = "all-MiniLM-L6-v2"
TEXTS = ["a", "How many vacation days do I get?", "word " * 300, *(f"question {n} " * n for n in range(1, 9))]
NEAR = 0.9995
NEAR_TOKEN = 0.995  # no mean of many
on_cpu_only = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")


def loaded(precision: str) -> DenseModel:
    """Load MiniLM as the gateway does, on a CPU."""
    settings = Settings.model_validate(
        {
            "models_file": ROOT / "models.yaml",
            "models_dir": ROOT / "models",
            "device": "cpu",
            "precision": precision,
        }
    )
    located = model.locate(MINILM, catalog.load(settings.models_file), settings)
    assert located.info.precision == precision
    return cast(DenseModel, model.load(located, settings))


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_is_near_fp32(precision: str) -> None:
    """Pooled vectors and every token's, float32 both: cosine at least 0.9995."""
    exact, half = loaded("fp32"), loaded(precision)
    batch = exact.texts.tokenize(TEXTS, "END")

    wanted, found = exact.encode(batch), half.encode(batch)
    states = half.encode_tokens(batch)

    assert found.dtype == np.float32
    assert (normalize(wanted) * normalize(found)).sum(axis=1).min() >= NEAR
    for ours, theirs, ids in zip(states, exact.encode_tokens(batch), batch, strict=True):
        assert ours.dtype == np.float32
        assert ours.shape == (len(ids), exact.info.dimensions)
        assert (normalize(ours) * normalize(theirs)).sum(axis=1).min() >= NEAR_TOKEN


def test_half_precision_pools_in_fp32() -> None:
    """The mean of 250 tokens keeps what bf16 cannot say."""
    layout = Layout([[0] * 250], torch.device("cpu"))
    values = (torch.arange(256) % 3).to(torch.bfloat16)[:, None]

    assert layout.mean(values).item() == pytest.approx((torch.arange(250) % 3).double().mean().item(), rel=1e-6)


@on_cpu_only
@pytest.mark.parametrize(
    ("asked", "said"),
    [("cuda", "no CUDA device"), ("cuda:1", "DEVICE=cuda:1"), ("mps", "no Apple GPU")],
)
def test_a_device_that_is_not_there_is_refused(asked: str, said: str) -> None:
    """With its name, and with what helps."""
    with pytest.raises(ValueError, match=said) as refused:
        device.resolve(asked)

    assert "DEVICE=auto" in str(refused.value)


@on_cpu_only
def test_auto_takes_what_is_there() -> None:
    """A CPU always is."""
    assert device.resolve("auto") == device.resolve("cpu") == "cpu"


def test_where_no_kernel_attends_to_ragged_texts_they_are_laid_in_rows() -> None:
    """On a CPU the kernel is not to be had, and trying it says so instead of giving numbers."""
    cpu = torch.device("cpu")

    assert ragged.layout_for(cpu, torch.float16) is Layout
    with pytest.raises((ImportError, RuntimeError, ValueError)):
        ragged.trial(cpu, torch.float16)


def test_numbers_arrive_as_they_were_sent() -> None:
    """Whatever their lengths, one of them empty."""
    numbers = [torch.arange(5), torch.arange(0), torch.tensor([2**40])]

    arrived = device.sent(numbers, torch.device("cpu"))

    assert [one.tolist() for one in arrived] == [one.tolist() for one in numbers]
