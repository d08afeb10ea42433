"""The device that torch computes on, and how tokens get there and vectors back."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

# What sentence-transformers' and our own models compute in; pooling is in fp32 always.
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

_of_thread = threading.local()


def resolve(wanted: str) -> str:
    """Return what DEVICE means here: cpu, mps or cuda:N. ValueError where it cannot be had."""
    if wanted == "auto":
        best = "mps" if torch.backends.mps.is_available() else "cpu"
        return "cuda:0" if torch.cuda.is_available() else best
    if wanted == "mps" and not torch.backends.mps.is_available():
        raise ValueError(f"DEVICE=mps: torch {torch.__version__} finds no Apple GPU here; DEVICE=auto takes what is")
    if not wanted.startswith("cuda"):
        return wanted
    there = torch.cuda.device_count()
    if not there:
        raise ValueError(
            f"DEVICE={wanted}: torch {torch.__version__} finds no CUDA device here; DEVICE=auto takes what is"
        )
    number = int(wanted.partition(":")[2] or 0)
    if number >= there:
        raise ValueError(f"DEVICE={wanted}: there are {there} CUDA devices, cuda:0 to cuda:{there - 1}")
    return f"cuda:{number}"


@contextmanager
def own_stream(device: torch.device) -> Iterator[None]:
    """Queue what follows on a stream of this thread's own: one thread copies while another's pass is computed."""
    if device.type != "cuda":
        yield
        return
    if not hasattr(_of_thread, "stream"):
        _of_thread.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    with torch.cuda.stream(_of_thread.stream):
        yield


def sent(numbers: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Return whole numbers, each (n,) on the CPU, on the device: to a GPU as one copy that nothing waits for."""
    if device.type == "cpu":
        return list(numbers)
    together = torch.cat(list(numbers))
    if device.type == "cuda":
        together = together.pin_memory()
    there = together.to(device, non_blocking=True)
    return list(torch.split(there, [len(one) for one in numbers]))


def fetched(values: Tensor) -> Tensor:
    """Return values from the device as float32 on the CPU, once they are there; a view where they are."""
    if values.device.type != "cuda":
        return values.cpu().float()
    # Not blocking, the copy lands in pinned memory; the wait that follows is for this thread's stream alone.
    here = values.to("cpu", non_blocking=True)
    torch.cuda.current_stream(values.device).synchronize()
    return here.float()
