"""How many files and connections this process may have open."""

from __future__ import annotations

import resource

# Enough for all connections and the files of a thousand collections.
WANTED = 65_536


def raise_limit() -> None:
    """Raise the soft limit of open files as far as the hard one allows; many systems begin with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def most_connections(wanted: int) -> int:
    """Return the number of connections that leaves half of the open files to the store: at most `wanted`."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if soft == resource.RLIM_INFINITY else max(1, min(wanted, soft // 2))
