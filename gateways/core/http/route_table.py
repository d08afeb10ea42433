"""The paths that a process serves, matched exactly, and what is said of a path that is nearly one of them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from starlette.responses import Response
from starlette.routing import BaseRoute, Route, compile_path

from gateways.core.errors import GatewayError, MethodNotAllowed, NotFound
from gateways.core.http.json_route import JsonRoute, error_response

_SLASHES = re.compile("/{2,}")


class RouteTable:
    """
    The routes by path.

    Starlette's patterns also match a path with a line break at its end. What is decided by path, such as the scope
    that a key needs, is decided by the template that this table returns.
    """

    def __init__(self) -> None:
        self._methods: dict[str, set[str]] = {}
        self._patterns: dict[str, re.Pattern[str]] = {}
        self._json_routes: dict[str, JsonRoute] = {}

    def add(self, routes: Iterable[BaseRoute]) -> None:
        """Add routes, and those of the routers among them."""
        for route in routes:
            if isinstance(route, Route):
                self._add_route(route)
            elif router := getattr(route, "original_router", None):
                self.add(router.routes)

    def _add_route(self, route: Route) -> None:
        self._methods.setdefault(route.path, set()).update(route.methods or ())
        if isinstance(route, JsonRoute):
            self._json_routes.setdefault(route.path, route)
        if "{" in route.path:
            pattern = compile_path(route.path)[0].pattern
            self._patterns[route.path] = re.compile(pattern.removeprefix("^").removesuffix("$"))

    def template(self, path: str) -> str | None:
        """Return the template of the route that serves a path, None if there is none."""
        if path in self._methods and path not in self._patterns:
            return path
        return next((template for template, pattern in self._patterns.items() if pattern.fullmatch(path)), None)

    def resolve(self, path: str) -> tuple[str, str | None]:
        """Return the path that is served and its template. Slashes too many are left out where that finds a route."""
        template = self.template(path)
        if template is None or (path.endswith("/") and template in self._patterns):
            squeezed = _SLASHES.sub("/", path).rstrip("/") or "/"
            if squeezed in self._methods or (template is None and self.template(squeezed)):
                return squeezed, self.template(squeezed)
        return path, template

    def methods(self, template: str | None) -> set[str]:
        """Return the methods of all routes with this template."""
        return self._methods.get(template or "", set())

    def refusal(self, method: str, path: str, template: str | None) -> Response | None:
        """Return the 404 of a path or the 405 of a method without a route, else None. Its shape is the route's."""
        if template is None:
            meant, message = self._guess(path)
            return self.error_response(NotFound(message, code="unknown_route"), meant)
        allowed = self.methods(template)
        if method in allowed:
            return None
        names = ", ".join(sorted(allowed))
        message = f"{path} does not answer to {method}; it answers to {names}."
        return self.error_response(MethodNotAllowed(message, allowed=names), template)

    def error_response(self, error: GatewayError, template: str | None) -> Response:
        """Return an error in the shape that the clients of a route know."""
        route = self._json_routes.get(template or "")
        return route.error_response(error) if route else error_response(error)

    def _guess(self, path: str) -> tuple[str | None, str]:
        """Return the template of the route that is nearly `path`, if there is one, and what to say."""
        if not path.isprintable():
            return None, f"there is no route {path[:80]!r}; a control character stands in the path."
        squeezed = _SLASHES.sub("/", path).rstrip("/")
        for prefix in ("/api/v1", "/v1", "/v2"):
            once = squeezed.removeprefix(prefix)
            if squeezed.startswith(prefix * 2) and once in self._methods:
                return once, f"Did you mean {once}? The base URL has {prefix} twice."
        if f"/v1{squeezed}" in self._methods:
            return f"/v1{squeezed}", f"Did you mean /v1{squeezed}? The base URL ends before /v1."
        pages = "/docs" if "/docs" in self._methods else "/openapi.json"
        return None, f"there is no route {path}; {pages} lists all."
