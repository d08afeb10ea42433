"""The torch device: select it, copy token ids to it, and copy results back."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

# Precision of the weights and layers. Pooling is in fp32 always.
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

_thread_local = threading.local()


def resolve_device(name: str) -> str:
    """Return the torch device of the setting DEVICE: cpu, mps or cuda:N. Raises ValueError if it does not exist."""
    if name == "auto":
        fallback = "mps" if torch.backends.mps.is_available() else "cpu"
        return "cuda:0" if torch.cuda.is_available() else fallback
    if name == "mps" and not torch.backends.mps.is_available():
        raise ValueError(
            f"DEVICE=mps: torch {torch.__version__} finds no Apple GPU here; DEVICE=auto selects a device that exists"
        )
    if not name.startswith("cuda"):
        return name
    device_count = torch.cuda.device_count()
    if not device_count:
        raise ValueError(
            f"DEVICE={name}: torch {torch.__version__} finds no CUDA device here; "
            "DEVICE=auto selects a device that exists"
        )
    number = int(name.partition(":")[2] or 0)
    if number >= device_count:
        raise ValueError(f"DEVICE={name}: there are {device_count} CUDA devices, cuda:0 to cuda:{device_count - 1}")
    return f"cuda:{number}"


@contextmanager
def use_thread_stream(device: torch.device) -> Iterator[None]:
    """Run GPU work on a CUDA stream of this thread, so that one thread copies while another one computes."""
    if device.type != "cuda":
        yield
        return
    if not hasattr(_thread_local, "stream"):
        _thread_local.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    with torch.cuda.stream(_thread_local.stream):
        yield


def to_device(tensors: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Return integer tensors, each (n,), on the device. A GPU gets them in one copy that does not block."""
    if device.type == "cpu":
        return list(tensors)
    packed = torch.cat(list(tensors))
    if device.type == "cuda":
        packed = packed.pin_memory()
    on_device = packed.to(device, non_blocking=True)
    return list(torch.split(on_device, [len(tensor) for tensor in tensors]))


def to_cpu(values: Tensor) -> Tensor:
    """Return a tensor as float32 on the CPU, after the copy has finished. A float32 CPU tensor is not copied."""
    if values.device.type != "cuda":
        return values.cpu().float()
    # A non-blocking copy goes to pinned memory. The wait is for this thread's stream only.
    on_cpu = values.to("cpu", non_blocking=True)
    torch.cuda.current_stream(values.device).synchronize()
    return on_cpu.float()
