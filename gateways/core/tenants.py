"""
Which collections the key of the current request may use.

The HTTP layer sets the tenant in the task of a request, and the layers below ask here. Without a tenant all is
allowed: in a process without keys, with a key of API_KEYS, and for the work of the process itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass

from gateways.core.errors import Forbidden

# No header may hold this character, so no Idempotency-Key of a client looks like that of another tenant.
_SEPARATOR = "\x1f"


@dataclass(frozen=True, slots=True)
class Tenant:
    """A key by its name, and the collections that it may use. A `*` at the end of a name stands for any ending."""

    name: str
    collections: tuple[str, ...] | None = None

    def may_use(self, collection: str) -> bool:
        """Return whether the key may use a collection."""
        if self.collections is None:
            return True
        return any(
            collection.startswith(name[:-1]) if name.endswith("*") else collection == name
            for name in self.collections
        )


_current: ContextVar[Tenant | None] = ContextVar("tenant", default=None)


def enter(tenant: Tenant) -> None:
    """Let the rest of the current task work for a tenant."""
    _current.set(tenant)


def may_use(collection: str) -> bool:
    """Return whether the current request may use a collection."""
    tenant = _current.get()
    return tenant is None or tenant.may_use(collection)


def visible(collections: Iterable[str]) -> list[str]:
    """Return the names that the current request may know of."""
    return [name for name in collections if may_use(name)]


def is_limited() -> bool:
    """Return whether the current request may use some collections only."""
    tenant = _current.get()
    return tenant is not None and tenant.collections is not None


def require(collection: str) -> None:
    """Raise Forbidden if the current request may not use a collection, whether it exists or not."""
    tenant = _current.get()
    if tenant is not None and not tenant.may_use(collection):
        names = ", ".join(tenant.collections or ())
        raise Forbidden(
            f"the key {tenant.name} may use these collections only: {names}; this request names {collection!r}",
            param="collection",
            code="collection_forbidden",
        )


def require_all() -> None:
    """Raise Forbidden if the current request may use some collections only, because it asks for what all share."""
    tenant = _current.get()
    if tenant is not None and tenant.collections is not None:
        raise Forbidden(f"the key {tenant.name} is limited to collections; this takes a key without that limit")


def private(key: str) -> str:
    """Return an idempotency key that no other tenant can use or learn of."""
    tenant = _current.get()
    return f"{tenant.name}{_SEPARATOR}{key}" if tenant else key


def cache_scope() -> str:
    """Return the name of the key if it is limited to collections, else ""."""
    tenant = _current.get()
    return tenant.name if tenant and tenant.collections is not None else ""


def enter_cache_scope(scope: str) -> None:
    """Let the rest of the current task use the cached answers of one limited key of another process alone."""
    _current.set(Tenant(scope, ()))


def cache_suffix() -> bytes:
    """Return what sets the cached answers of a limited key apart, so that their speed tells it nothing of others."""
    scope = cache_scope()
    return f"{_SEPARATOR}{scope}".encode() if scope else b""
