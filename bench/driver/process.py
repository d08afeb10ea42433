"""The driver process: spawned once per campaign, pinned, and controlled through a pipe."""

from __future__ import annotations

import multiprocessing
import resource
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType

from bench.driver.load import Load, Outcome
from bench.errors import DriverError
from bench.machine import cores

OPENED = "opened"


class Driver:
    """Runs loads, one at a time, in a process of its own; leaving the context ends the process."""

    def __init__(self, on: tuple[int, ...]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, child_pipe = context.Pipe()
        self._process = context.Process(target=serve, args=(child_pipe, on), name="driver", daemon=True)
        self._process.start()
        child_pipe.close()

    def run(self, load: Load, opened: Callable[[], None] = lambda: None) -> Outcome:
        """
        Run one load and return its outcome. Raises DriverError if the load failed or the process died.

        `opened` is called after the warm-up; in a closed loop, its last requests are still in flight. The window
        starts when it returns.
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


def _raise_file_limit() -> None:
    """Allow as many open connections as the system lets this process have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def serve(pipe: Connection, on: tuple[int, ...]) -> None:
    """Run the driver process: receive loads and send outcomes until the pipe closes. The parent handles Ctrl-C."""
    import uvloop

    from bench.driver import child

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _raise_file_limit()
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
            pipe.send(uvloop.run(child.run(load, opened)))
        except EOFError:
            return
        except Exception as error:  # report every error to the campaign
            pipe.send(f"{type(error).__name__}: {error}")
