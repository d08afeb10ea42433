"""The version of stored data. Older data is migrated at a start, and newer data is refused."""

from __future__ import annotations


class NewerVersion(Exception):
    """The data was written by a later version of the gateway."""


def check_version(name: str, version: int, known: int) -> None:
    """Raise NewerVersion if the data called `name` has a version after `known`, the last one that this code reads."""
    if version > known:
        raise NewerVersion(
            f"{name} has version {version}, and this gateway reads versions up to {known}: "
            "start the gateway that wrote it, or a later one"
        )
