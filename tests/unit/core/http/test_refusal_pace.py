"""The pace of refusals, by a time that the test moves: which connections are left unread, and until when."""

from __future__ import annotations

from gateways.core.http.refusal_pace import CROWD_SHARE, MAX_PAUSE_S, PER_REQUEST, PER_S, TICK_S, RefusalPace
from tests.support.clock import Loop, run_skipping

BURST = 100


class Connection:
    """A connection that is read or not."""

    def __init__(self) -> None:
        self.read = True

    def hold_back(self) -> None:
        """Read nothing more."""
        self.read = False

    def go_on(self) -> None:
        """Read again."""
        self.read = True


class Refusals:
    """Refusals of new connections, among requests that are served."""

    def __init__(self, loop: Loop) -> None:
        self.connections: list[Connection] = []
        self.answered = 0
        self._loop = loop
        self._pace = RefusalPace(BURST)

    def refuse(self, count: int) -> None:
        """Refuse requests now."""
        for _ in range(count):
            self.answered += 1
            self.connections.append(Connection())
            self._pace.note_refusal(self.connections[-1], self.answered, self._loop)

    def read(self) -> int:
        """Return how many connections are read."""
        return sum(connection.read for connection in self.connections)


def test_a_few_refusals_leave_everyone_read() -> None:
    """A burst, then as many a second as are always allowed."""

    async def scenario(loop: Loop) -> None:
        refusals = Refusals(loop)
        refusals.refuse(BURST)
        for _ in range(400):
            await loop.skip(1 / PER_S + 1e-6)
            refusals.refuse(1)

        assert refusals.read() == BURST + 400

    run_skipping(scenario)


def test_a_server_that_serves_may_refuse_twice_as_many() -> None:
    """Three times the capacity is refused without a pause, whatever the capacity is."""

    async def scenario(loop: Loop) -> None:
        refusals = Refusals(loop)
        for _ in range(100):
            await loop.skip(TICK_S)
            refusals.answered += 200
            refusals.refuse(int(200 * PER_REQUEST) // 4)
        assert refusals.read() == len(refusals.connections)

    run_skipping(scenario)


def test_connections_are_read_at_the_pace_in_the_order_of_their_refusals() -> None:
    """Of 300 at once a hundred go on at once, the others one by one."""

    async def scenario(loop: Loop) -> None:
        refusals = Refusals(loop)
        refusals.refuse(300)
        for step in range(20):
            assert abs(refusals.read() - min(300, BURST + PER_S * 0.02 * step)) <= 1 + PER_S * TICK_S
            read = [connection.read for connection in refusals.connections]
            assert read == sorted(read, reverse=True)
            await loop.skip(0.02)

    run_skipping(scenario)


def test_a_crowd_has_a_share_of_the_pace() -> None:
    """Of 1,500 that come back at once most wait, and the model has the core."""

    async def scenario(loop: Loop) -> None:
        refusals = Refusals(loop)
        refusals.refuse(1_500)
        for _ in range(200):
            await loop.skip(TICK_S)
        assert abs(refusals.read() - (BURST + 2.0 * CROWD_SHARE * PER_S)) <= 1 + PER_S * TICK_S

    run_skipping(scenario)


def test_nobody_is_left_unread_for_longer_than_the_longest_pause() -> None:
    """Ten thousand connections go on by then, and what is allowed is the same after that."""

    async def scenario(loop: Loop) -> None:
        refusals = Refusals(loop)
        refusals.refuse(10_000)
        await loop.skip(MAX_PAUSE_S / 2)
        assert refusals.read() < 1_000
        await loop.skip(MAX_PAUSE_S / 2)
        assert refusals.read() == 10_000

        refusals.refuse(1)
        assert refusals.read() == 10_000
        await loop.skip(1)
        assert refusals.read() == 10_001

    run_skipping(scenario)
