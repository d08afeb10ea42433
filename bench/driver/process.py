"""The driver as a process: spawned once a campaign, pinned, spoken to through a pipe."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType

from bench import cores
from bench.driver.load import Load, Outcome
from bench.errors import DriverError

OPENED = "opened"


class Driver:
    """Runs loads one at a time in its own process; a context manager that ends it."""

    def __init__(self, on: tuple[int, ...]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, on), name="driver", daemon=True)
        self._process.start()
        theirs.close()

    def run(self, load: Load, opened: Callable[[], None] = lambda: None) -> Outcome:
        """
        Run one load; `opened` is called when the warm-up is over and nothing is in flight.

        The window starts when `opened` has returned. Raises DriverError when the process died.
        """
        try:
            self._pipe.send(load)
            self._expect(OPENED)
            opened()
            self._pipe.send(OPENED)
            outcome = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise DriverError(f"the driver ended with {self._process.exitcode}") from error
        if not isinstance(outcome, Outcome):
            raise DriverError(str(outcome))
        return outcome

    def _expect(self, word: str) -> None:
        message = self._pipe.recv()
        if message != word:
            raise DriverError(str(message))

    def __enter__(self) -> Driver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pipe.close()
        self._process.join(2)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def serve(pipe: Connection, on: tuple[int, ...]) -> None:
    """The driver's life: loads in, outcomes out, until the pipe closes. Ctrl-C is the parent's to act on."""
    import uvloop

    from bench.driver import drive

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cores.pin(on)

    def opened() -> None:
        pipe.send(OPENED)
        pipe.recv()

    while True:
        try:
            load = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(uvloop.run(drive.run(load, opened)))
        except EOFError:
            return
        except Exception as error:  # whatever it is, the campaign should say it
            pipe.send(f"{type(error).__name__}: {error}")
