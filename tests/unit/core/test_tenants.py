"""Tenants: which collections a key may use, and what it can tell of others."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from typing import TypeVar

import pytest

from gateways.core import tenants
from gateways.core.errors import Forbidden
from gateways.core.tenants import Tenant

T = TypeVar("T")

ALPHA = Tenant("alpha", ("alpha", "alpha-*"))
BETA = Tenant("beta", ("beta",))
OWNER = Tenant("owner")


def as_tenant(tenant: Tenant, work: Callable[[], T]) -> T:
    """Return what `work` returns for the request of a tenant."""

    def run() -> T:
        tenants.enter(tenant)
        return work()

    return copy_context().run(run)


@pytest.mark.parametrize(
    ("name", "allowed"),
    [("alpha", True), ("alpha-", True), ("alpha-2", True), ("alphabet", False), ("beta", False), ("", False)],
)
def test_a_star_stands_for_the_rest_of_a_name(name: str, allowed: bool) -> None:
    """Other names are whole ones, and the error lists them."""
    assert as_tenant(ALPHA, lambda: tenants.may_use(name)) is allowed
    assert as_tenant(ALPHA, lambda: tenants.visible([name])) == ([name] if allowed else [])
    if not allowed:
        with pytest.raises(Forbidden, match=r"the key alpha may use these collections only: alpha, alpha-\*;"):
            as_tenant(ALPHA, lambda: tenants.require(name))


def test_without_a_tenant_or_a_limit_all_is_allowed() -> None:
    """The work of the process itself has no tenant."""
    tenants.require("anything")
    tenants.require_all()
    as_tenant(OWNER, lambda: tenants.require("anything"))
    as_tenant(OWNER, tenants.require_all)
    assert not tenants.is_limited()
    with pytest.raises(Forbidden):
        as_tenant(BETA, tenants.require_all)


def test_what_two_tenants_keep_is_apart() -> None:
    """Idempotency keys of every named key; cached answers of limited ones."""
    keys = [as_tenant(tenant, lambda: tenants.private("monday")) for tenant in (ALPHA, BETA, OWNER)]
    suffixes = [as_tenant(tenant, tenants.cache_suffix) for tenant in (ALPHA, BETA, OWNER)]

    assert len({*keys, tenants.private("monday")}) == 4
    assert len({*suffixes, tenants.cache_suffix()}) == 3
    assert suffixes[2] == tenants.cache_suffix()
