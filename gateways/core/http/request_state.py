"""Typed access to the state that travels in an ASGI scope, and in the application of a process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from fastapi import FastAPI
from starlette.types import Scope

from gateways.core.http.body import BodyBudget
from gateways.core.settings import HttpSettings
from gateways.core.tenants import Tenant

# Keys of a request's scope.
_TASK = "gateways.task"
_ADMITTED = "gateways.admitted"
_TENANT = "gateways.tenant"


@dataclass(slots=True)
class ProcessState:
    """The state of a process that serves requests."""

    settings: HttpSettings
    # True from SIGTERM until the server stops: /readyz answers 503, other requests are served.
    draining: bool = False
    start_error: Exception | None = None
    bodies: BodyBudget = field(init=False)

    def __post_init__(self) -> None:
        """Make the budget. One body of the largest size always fits."""
        self.bodies = BodyBudget(max(self.settings.max_bodies_bytes, self.settings.max_body_bytes))


def attach_process_state(app: FastAPI, settings: HttpSettings) -> ProcessState:
    """Give an application its state, and return it."""
    state = ProcessState(settings)
    app.state.process = state
    return state


def process_state(app: FastAPI) -> ProcessState:
    """Return the state of the process that serves `app`."""
    state: ProcessState = app.state.process
    return state


def set_task(scope: Scope) -> None:
    """Let the current task be cancelled when the client of the request disconnects."""
    scope[_TASK] = asyncio.current_task()


def cancel_task(scope: Mapping[str, object]) -> None:
    """Cancel the task of a request, if `set_task` was called for it."""
    task = scope.get(_TASK)
    if isinstance(task, asyncio.Task):
        task.cancel()


def mark_admitted(scope: Scope) -> None:
    """Note that the API key of a request was checked from its headers. A key is charged once per request."""
    scope[_ADMITTED] = True


def admitted(scope: Scope) -> bool:
    """Return whether the API key of a request was checked from its headers."""
    return _ADMITTED in scope


def set_tenant(scope: Scope, tenant: Tenant | None) -> None:
    """Note whose key a request has, if its key has a name."""
    scope[_TENANT] = tenant


def tenant(scope: Scope) -> Tenant | None:
    """Return whose key a request has, None where it may use everything."""
    owner: Tenant | None = scope.get(_TENANT)
    return owner
