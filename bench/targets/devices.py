"""The devices on which each target of a campaign is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.errors import BenchError
from bench.machine.device_names import CPU, SEPARATOR, is_gpu
from bench.targets import HALF, Target


def enter(targets: Sequence[Target], devices: Sequence[str]) -> list[Target]:
    """
    Return an entry for each target on each of its devices; README.md beside the target files has the rules.

    The entry on the first device keeps the target's name, further ones are called `name@device`. Raises BenchError if
    no target has a device.
    """
    entries = [entry for target in targets for entry in _enter_target(target, devices)]
    if targets and not entries:
        names = ", ".join(target.name for target in targets)
        raise BenchError(f"{names} in half precision: name a GPU with --device (cuda, cuda:N or mps)")
    return entries


def _enter_target(target: Target, devices: Sequence[str]) -> list[Target]:
    if target.url:
        return [target]
    own_devices = _select_devices(target, devices)
    names = [f"{target.name}{SEPARATOR}{device}" if i else target.name for i, device in enumerate(own_devices)]
    titles = [f"{target.title}, on {device}" if len(devices) > 1 else target.title for device in own_devices]
    return [
        replace(target, name=name, title=title, device=device)
        for name, title, device in zip(names, titles, own_devices, strict=True)
    ]


def _select_devices(target: Target, devices: Sequence[str]) -> tuple[str, ...]:
    """Return the devices of one target; () for half precision if no GPU is named."""
    if not _takes_device(target):
        return (CPU,)
    if target.precision in HALF:
        return tuple(filter(is_gpu, devices))
    if target.ranked and target.precision != "int8":
        return tuple(devices)
    return (next((device for device in devices if not is_gpu(device)), devices[0]),)


def _takes_device(target: Target) -> bool:
    """Whether the target file contains `{device}`."""
    texts = (text for role in target.roles for text in (*role.argv, *role.environ.values()))
    return any("{device}" in text for text in texts)
