"""FastAPI and uvicorn without what no gateway uses; a server process imports this first."""

from __future__ import annotations

import sys
from types import ModuleType

import pydantic

# For every field and every answer FastAPI asks whether it is a model of pydantic's version 1, and loads all of that
# to see. None is in a process of ours, and FastAPI takes an ImportError for a no.
sys.modules.setdefault("pydantic.v1", None)  # type: ignore[arg-type]  # the import system's word for "not there"

# FastAPI's models of OpenAPI check what `/openapi.json` answers: they may be built when it is first asked for.
_given = pydantic.BaseModel.model_config
pydantic.BaseModel.model_config = {**_given, "defer_build": True}
import fastapi.openapi.models  # noqa: E402, F401

pydantic.BaseModel.model_config = _given


def _of_uvicorn_main(name: str) -> object:
    from uvicorn.server import Server

    return {"Server": Server}.get(name)


# uvicorn's command line brings click, multiprocessing and a file watcher, and its package asks it for the server.
_command_line = ModuleType("uvicorn.main")
_command_line.__getattr__ = _of_uvicorn_main  # type: ignore[method-assign]  # PEP 562
sys.modules.setdefault("uvicorn.main", _command_line)
