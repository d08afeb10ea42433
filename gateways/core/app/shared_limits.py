"""Rate limits of keys over all processes that share a database: each tells the others what it has let in."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

import psycopg

from gateways.core.errors import BackendUnavailable
from gateways.core.http.api_keys import Keys
from gateways.core.persistence.key_usage import KeyUsageTable

log = logging.getLogger(__name__)

# Until the next exchange a process knows nothing of the requests that others let in.
EXCHANGE_S = 1.0
_AWAY = (BackendUnavailable, psycopg.Error)


class SharedLimits:
    """
    Adds the requests of this process to the database each second, and charges those of others to the keys here.

    While the database is away, each process counts alone. What it has counted is added later.
    """

    def __init__(self, keys: Keys, url: str) -> None:
        self._keys = {key.name: key for key in keys.rate_limited()}
        self._table = KeyUsageTable(url)
        self._totals: dict[str, int] = {}

    async def run(self) -> None:
        """Exchange until the task is cancelled, and once more then."""
        away = False
        try:
            await self._open()
            while True:
                try:
                    await self.exchange()
                    away = False
                except _AWAY as error:
                    if not away:
                        log.warning("rate limits hold in this process alone until the database is back: %s", error)
                    away = True
                await asyncio.sleep(EXCHANGE_S)
        finally:
            with suppress(*_AWAY, TimeoutError):
                async with asyncio.timeout(EXCHANGE_S):
                    await self.exchange()
            await self._table.close()

    async def exchange(self) -> None:
        """Add what was counted here, learn what was counted elsewhere. Raises BackendUnavailable, psycopg.Error."""
        counts = {name: key.take_count() for name, key in self._keys.items()}
        try:
            stored = await self._table.exchange(counts)
        except BaseException:
            for name, key in self._keys.items():
                key.give_back(counts[name])
            raise
        # A key without a row was used by nobody so far, so that all of its first use elsewhere is charged.
        self._totals |= dict.fromkeys(self._keys.keys() - stored.keys(), 0)
        for name, usage in stored.items():
            before = self._totals.get(name, usage.total - counts[name])
            self._totals[name] = usage.total
            self._keys[name].charge_others(usage.total - before - counts[name], usage.day, usage.today)

    async def _open(self) -> None:
        while True:
            try:
                await self._table.open()
                return
            except _AWAY as error:
                log.warning("rate limits hold in this process alone: %s", error)
                await asyncio.sleep(EXCHANGE_S)
