"""Device and precision of the torch gateway: a missing device is refused, half precision is close to fp32."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest

from gateways.core.models import catalog
from gateways.core.models.runtime import DenseModel
from gateways.core.scoring.vectors import normalize
from gateways.core.settings import ModelSettings

torch = pytest.importorskip("torch")

from gateways.python import device, runtime, varlen_attention  # noqa: E402  after the check that there is torch
from gateways.python.packed_batch import PackedBatch  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
MINILM = "all-MiniLM-L6-v2"
TEXTS = ["a", "How many vacation days do I get?", "word " * 300, *(f"question {n} " * n for n in range(1, 9))]
MIN_COSINE = 0.9995
MIN_TOKEN_COSINE = 0.995  # a token vector is no mean, so its rounding errors do not cancel
on_cpu_only = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")


def load_minilm(precision: str) -> DenseModel:
    """Load all-MiniLM-L6-v2 on a CPU, as the gateway does."""
    settings = ModelSettings.model_validate(
        {
            "models_file": ROOT / "models.yaml",
            "models_dir": ROOT / "models",
            "device": "cpu",
            "precision": precision,
        }
    )
    located = runtime.locate(MINILM, catalog.load(settings.models_file), settings)
    assert located.info.precision == precision
    return cast(DenseModel, runtime.load(located, settings))


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_is_close_to_fp32(precision: str) -> None:
    """Pooled vectors have a cosine to fp32 of at least 0.9995, token vectors of 0.995; all are float32."""
    exact, half = load_minilm("fp32"), load_minilm(precision)
    batch = exact.texts.tokenize(TEXTS, "END")

    expected, vectors = exact.encode(batch), half.encode(batch)
    states = half.encode_tokens(batch)

    assert vectors.dtype == np.float32
    assert (normalize(expected) * normalize(vectors)).sum(axis=1).min() >= MIN_COSINE
    for half_states, exact_states, ids in zip(states, exact.encode_tokens(batch), batch, strict=True):
        assert half_states.dtype == np.float32
        assert half_states.shape == (len(ids), exact.info.dimensions)
        assert (normalize(half_states) * normalize(exact_states)).sum(axis=1).min() >= MIN_TOKEN_COSINE


def test_half_precision_pools_in_fp32() -> None:
    """The mean of 250 bf16 tokens has the precision of fp32."""
    packed = PackedBatch([[0] * 250], torch.device("cpu"))
    values = (torch.arange(256) % 3).to(torch.bfloat16)[:, None]

    assert packed.mean(values).item() == pytest.approx((torch.arange(250) % 3).double().mean().item(), rel=1e-6)


@on_cpu_only
@pytest.mark.parametrize(
    ("name", "message"),
    [("cuda", "no CUDA device"), ("cuda:1", "DEVICE=cuda:1"), ("mps", "no Apple GPU")],
)
def test_a_missing_device_is_refused(name: str, message: str) -> None:
    """The error names the device, and DEVICE=auto as the remedy."""
    with pytest.raises(ValueError, match=message) as refusal:
        device.resolve_device(name)

    assert "DEVICE=auto" in str(refusal.value)


@on_cpu_only
def test_auto_selects_the_cpu_without_a_gpu() -> None:
    """DEVICE=auto and DEVICE=cpu are the same on a machine without a GPU."""
    assert device.resolve_device("auto") == device.resolve_device("cpu") == "cpu"


def test_without_the_varlen_kernel_attention_pads() -> None:
    """On a CPU the batch type is PackedBatch, and the kernel's self-test raises instead of returning a number."""
    cpu = torch.device("cpu")

    assert varlen_attention.choose_batch_type(cpu, torch.float16) is PackedBatch
    with pytest.raises((ImportError, RuntimeError, ValueError)):
        varlen_attention.measure_difference(cpu, torch.float16)


def test_tensors_keep_their_values_and_lengths_on_the_device() -> None:
    """to_device returns each tensor unchanged, including an empty one and a number over 32 bits."""
    tensors = [torch.arange(5), torch.arange(0), torch.tensor([2**40])]

    on_device = device.to_device(tensors, torch.device("cpu"))

    assert [tensor.tolist() for tensor in on_device] == [tensor.tolist() for tensor in tensors]
