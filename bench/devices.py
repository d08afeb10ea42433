"""Where a target's model runs: the words for it, and the targets of a campaign on one device or on several."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from bench.errors import BenchError
from bench.targets import HALF, Target

KNOWN = re.compile(r"auto|cpu|cuda(:(0|[1-9]\d*))?|mps")
SEPARATOR = "@"  # between the name of a target and the device that it is entered on once more
CPU = "cpu"


def parse(text: str) -> tuple[str, ...]:
    """The devices of `--device`, in the order said; raises BenchError that names the word that is none."""
    words = tuple(word.strip() for word in text.split(","))
    if unknown := [word for word in words if not KNOWN.fullmatch(word)]:
        raise BenchError(
            f"--device takes auto, cpu, cuda, cuda:N (the card's number) or mps, several by comma, not {unknown[0]!r}"
        )
    if twice := [word for word in dict.fromkeys(words) if words.count(word) > 1]:
        raise BenchError(f"--device {text}: {twice[0]} is said twice, and its rows could not be told apart")
    return words


def is_gpu(device: str) -> bool:
    """Whether a word names a GPU; what `auto` is, only the machine can tell."""
    return device.partition(":")[0] in ("cuda", "mps")


def enter(targets: Sequence[Target], devices: Sequence[str]) -> list[Target]:
    """
    Every target on every device that it is for: the first under its own name, each further one as `name@device`.

    Which they are says README.md beside the target files. Raises BenchError where no target is for any of them.
    """
    entered = [entered for target in targets for entered in _entered(target, devices)]
    if targets and not entered:
        named = ", ".join(target.name for target in targets)
        raise BenchError(f"{named} in half precision: name a GPU with --device (cuda, cuda:N or mps)")
    return entered


def _entered(target: Target, devices: Sequence[str]) -> list[Target]:
    if target.url:
        return [target]
    on = _on(target, devices)
    names = [f"{target.name}{SEPARATOR}{device}" if place else target.name for place, device in enumerate(on)]
    titles = [f"{target.title}, on {device}" if len(devices) > 1 else target.title for device in on]
    return [
        replace(target, name=name, title=title, device=device)
        for name, title, device in zip(names, titles, on, strict=True)
    ]


def _on(target: Target, devices: Sequence[str]) -> tuple[str, ...]:
    """The devices that a target is entered on; none for half precision where no GPU is named."""
    if not _is_told(target):
        return (CPU,)
    if target.precision in HALF:
        return tuple(filter(is_gpu, devices))
    if target.ranked and target.precision != "int8":
        return tuple(devices)
    return (next((device for device in devices if not is_gpu(device)), devices[0]),)


def _is_told(target: Target) -> bool:
    """Whether any process of a target is told the device; one that is not has no model to run there."""
    said = (text for role in target.roles for text in (*role.argv, *role.environ.values()))
    return any("{device}" in text for text in said)
