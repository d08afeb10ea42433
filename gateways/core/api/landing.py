"""`GET /`: what this is and where to go, for a person who has the address only, and for load balancers."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter, Response
from pydantic import BaseModel

from gateways.core.http.json_route import json_response

GATEWAY_LINKS = {"docs": "/docs", "models": "/v1/models", "ready": "/readyz", "metrics": "/metrics"}


class LandingAnswer(BaseModel):
    """A sentence, and the paths that it speaks of."""

    message: str
    links: dict[str, str]


def router(kind: str, links: Mapping[str, str]) -> APIRouter:
    """Return the route of a process; `kind` is what it is called."""
    routes = APIRouter(tags=["operations"])
    answer = {"message": f"This is an {kind}. It is up; `ready` tells whether it serves.", "links": links}

    @routes.get("/", response_model=LandingAnswer)
    async def landing() -> Response:
        """Tell what this is, and where its routes are described."""
        return json_response(answer)

    return routes
