"""Time that a test moves forward: a clock to inject, and an event loop whose timers run by it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


class Clock:
    """A clock that stands still until the test sets it forward."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        """Return seconds from an arbitrary moment."""
        return self.now_s


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose time stands still: its timers run when the test sets it forward."""

    now_s = 1_000.0

    def time(self) -> float:
        """Return the time by which timers run."""
        return self.now_s

    async def skip(self, seconds: float) -> None:
        """Set the time forward. Timers that are due have run when it returns."""
        self.now_s += seconds
        for _ in range(3):
            await asyncio.sleep(0)


def run_skipping(scenario: Callable[[Loop], Awaitable[T]]) -> T:
    """Return the result of a scenario that runs on a Loop."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, Loop)

        async def run() -> T:
            return await scenario(loop)

        return runner.run(run())
