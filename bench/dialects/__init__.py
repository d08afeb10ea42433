"""How to speak to a target: one file per dialect, each with a class `Dialect`."""

from __future__ import annotations

from importlib import import_module

from bench.dialects.openai import Dialect
from bench.errors import TargetError

__all__ = ["Dialect", "load"]


def load(name: str, model: str = "") -> Dialect:
    """The dialect of that file name, asking for a model; raises TargetError for one that is not there."""
    try:
        module = import_module(f"bench.dialects.{name}")
    except ModuleNotFoundError as error:
        raise TargetError(f"unknown dialect {name!r}") from error
    dialect: Dialect = module.Dialect(model)
    return dialect
