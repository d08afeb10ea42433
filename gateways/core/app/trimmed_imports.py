"""Import FastAPI and uvicorn without the parts that no gateway uses. A server process imports this module first."""

from __future__ import annotations

import sys
from types import ModuleType

import pydantic

# FastAPI imports pydantic.v1 to recognize models of that version. No process of ours has one, and FastAPI accepts an
# ImportError as the answer.
sys.modules.setdefault("pydantic.v1", None)  # type: ignore[arg-type]  # the import system's word for "not there"

# FastAPI's models of OpenAPI serve `/openapi.json` only: build them at the first request for it.
_model_config = pydantic.BaseModel.model_config
pydantic.BaseModel.model_config = {**_model_config, "defer_build": True}
import fastapi.openapi.models  # noqa: E402, F401

pydantic.BaseModel.model_config = _model_config


def _lazy_attribute(name: str) -> object:
    from uvicorn.server import Server

    return {"Server": Server}.get(name)


# uvicorn's package imports its command line, and with it click, multiprocessing and a file watcher.
_command_line = ModuleType("uvicorn.main")
_command_line.__getattr__ = _lazy_attribute  # type: ignore[method-assign]  # PEP 562
sys.modules.setdefault("uvicorn.main", _command_line)
