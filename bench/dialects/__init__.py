"""Dialects: the HTTP contracts of targets. Each is a file with a class `Dialect`."""

from __future__ import annotations

from importlib import import_module

from bench.dialects.openai import Dialect
from bench.errors import TargetError

__all__ = ["Dialect", "load"]


def load(name: str, model: str = "") -> Dialect:
    """Return the dialect of the file `name`, which requests `model`. Raises TargetError for an unknown dialect."""
    try:
        module = import_module(f"bench.dialects.{name}")
    except ModuleNotFoundError as error:
        raise TargetError(f"unknown dialect {name!r}") from error
    dialect: Dialect = module.Dialect(model)
    return dialect
