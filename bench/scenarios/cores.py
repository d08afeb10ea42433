"""
Scaling with cores: the same model on 1, 2, 4, … cores, in three arrangements.

* `threads`: one process with a model thread per core.
* `processes`: a process with one model thread per core, each on a core of its own; the load is spread over them.
* `apart`: the gateway on one core, and an embed service with one model thread on each of the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from bench.datasets.lengths import CHUNK, Words
from bench.datasets.unseen_texts import TextStream
from bench.driver.load import Call, Load
from bench.machine.cores import Pinning
from bench.machine.device_names import is_gpu
from bench.measurement import window
from bench.measurement.plan import BODIES_PER_SECOND, MIN_REQUESTS, Cell, Options
from bench.measurement.session import Bench, Session
from bench.records.runs_csv import Row
from bench.targets import Role, Target
from bench.targets.api_client import Api
from bench.targets.processes import Place

HEADLINE = "Embeddings per second by the number of server cores, as threads, as processes, and split apart"
NAME, ROUTE = "cores", "embeddings"
# Bulk: requests of 32 passages, one in flight per core; the driver waits, so that every core may serve. Questions: 16
# in flight per core, on the server's cores only.
BATCH, IN_FLIGHT = 32, 16
BULK_SECONDS, MIN_BULK_REQUESTS, TEXTS = 6.0, 3, 8_192


@dataclass(frozen=True)
class Rung:
    """One step of the ladder: an arrangement on some cores, under the bulk load or under questions."""

    arrangement: str
    cores: tuple[int, ...]
    bulk: bool

    @property
    def concurrency(self) -> int:
        """The number of requests in flight."""
        return len(self.cores) * (1 if self.bulk else IN_FLIGHT)


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """Return one cell per arrangement of a target of ours on the CPU; its key is that of its first row."""
    ours = target.ranked and target.roles and not target.peer and not is_gpu(target.device)
    if not ours or "embeddings" not in target.capabilities:
        return []
    return [
        Cell(block, target, NAME, ROUTE, first, BATCH, arrangement=arrangement)
        for arrangement, first in arrangements(target).items()
    ]


def arrangements(target: Target) -> dict[str, int]:
    """Return the arrangements that a target's roles allow, with the fewest cores of each."""
    return {"threads": 1, "processes": 2} if len(target.roles) == 1 else {"apart": 2}


def counts(most: int, fewest: int) -> list[int]:
    """Return the rungs of a ladder: 1, 2, 4, … and `most`, from `fewest` on."""
    powers = [2**power for power in range(most.bit_length())]
    return [count for count in dict.fromkeys([*powers, most]) if fewest <= count <= most]


def run_alone(bench: Bench, cell: Cell) -> list[Row]:
    """Measure every rung, each on a server of its own; its first row has the cell's key."""
    return [_measure(bench, cell, rung) for rung in _list_rungs(bench.place.pinning, cell)]


def _list_rungs(pinning: Pinning, cell: Cell) -> Iterator[Rung]:
    fewest = arrangements(cell.target)[cell.arrangement]
    for cores, bulk in ((tuple(sorted({*pinning.server, *pinning.driver})), True), (pinning.server, False)):
        for count in counts(len(cores), fewest):
            yield Rung(cell.arrangement, cores[-count:], bulk)


def _measure(bench: Bench, cell: Cell, rung: Rung) -> Row:
    target, role_cores = arrange(cell.target, rung)
    place = replace(bench.place, pinning=Pinning(rung.cores, bench.place.pinning.driver), role_cores=role_cores)
    placed = replace(bench, place=place)
    rung_cell = replace(cell, concurrency=rung.concurrency, batch=BATCH if rung.bulk else None)
    with placed.start(target, f"{rung.arrangement}{len(rung.cores)}") as server, Api(server) as api:
        server.wait_ready()
        texts = TextStream(bench.reference.squad.texts, bench.seed(cell.block))
        session = Session.open(server, api, texts)
        row = (_measure_bulk if rung.bulk else _measure_questions)(placed, rung_cell, session)
    row.cores = len(rung.cores)
    # With the bulk load the driver shares a core and only waits.
    row.codes = " ".join(code for code in row.codes.split() if not (rung.bulk and code == "E_PIN"))
    return row


def arrange(target: Target, rung: Rung) -> tuple[Target, dict[str, tuple[int, ...]]]:
    """Return the target with its roles for a rung, and the cores of those that have their own."""
    if rung.arrangement == "threads":
        return target, {}
    if rung.arrangement == "processes":
        copies = [_copy(target.roles[0], core) for core in rung.cores]
        return replace(target, roles=tuple(copies)), _give_cores(copies, rung.cores)
    embed, gateway = target.roles
    copies = [_copy(embed, core) for core in rung.cores[1:]]
    urls = ",".join(f"{{role.{copy.name}.url}}" for copy in copies)
    gateway = replace(gateway, environ=gateway.environ | {"EMBEDDING_API_URL": urls})
    roles = [*copies, gateway]
    return replace(target, roles=tuple(roles)), _give_cores(roles, (*rung.cores[1:], rung.cores[0]))


def _copy(role: Role, core: int) -> Role:
    """Return a role named after its core, with a data folder of its own if it has one."""
    name = f"{role.name}{core}"
    data = {"DATA_DIR": f"{{data_dir}}/{name}"} if "DATA_DIR" in role.environ else {}
    return replace(role, name=name, environ=role.environ | data)


def _give_cores(roles: list[Role], cores: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {role.name: (core,) for role, core in zip(roles, cores, strict=True)}


def _fronts(place: Place, session: Session) -> tuple[int, ...]:
    """Return the ports to which clients connect: of every process if they are copies, else of the last one."""
    processes = session.server.processes
    copies = len(place.role_cores) == len(processes) and len({process.role.argv for process in processes}) == 1
    return tuple(process.port for process in processes) if copies else (session.server.port,)


def _measure_bulk(bench: Bench, cell: Cell, session: Session) -> Row:
    words = Words(list(bench.reference.squad.passages.values()), bench.seed(cell.block))
    texts = words.cut(CHUNK, TEXTS)
    batches = [tuple(texts[start : start + BATCH]) for start in range(0, TEXTS, BATCH)]
    calls = [Call(ROUTE, session.api.dialect.embed_body(batch), len(batch)) for batch in batches]
    load = _load(bench, cell, session, session.calls(ROUTE, session.texts.take(64)), calls)
    row = window.measure(bench, cell, session, load, batches, excused=("E_STALL",)).row
    row.texts_per_s = (row.rps or 0.0) * BATCH or None
    return row


def _measure_questions(bench: Bench, cell: Cell, session: Session) -> Row:
    profile = bench.options.profile
    assert cell.concurrency is not None  # noqa: S101  (a rung has it)
    timed = session.texts.take(max(MIN_REQUESTS, int(profile.min_seconds * BODIES_PER_SECOND)))
    warmup = session.texts.take(max(4 * cell.concurrency, int(profile.warmup_seconds * BODIES_PER_SECOND)))
    load = _load(bench, cell, session, session.calls(ROUTE, warmup), session.calls(ROUTE, timed))
    row = window.measure(bench, cell, session, load, timed).row
    row.texts_per_s = row.rps
    return row


def _load(bench: Bench, cell: Cell, session: Session, warmup: list[Call], calls: list[Call]) -> Load:
    bulk, profile = cell.batch is not None, bench.options.profile
    return session.load(
        bench.options,
        warmup,
        calls,
        concurrency=cell.concurrency,
        ports=_fronts(bench.place, session),
        min_seconds=BULK_SECONDS if bulk else profile.min_seconds,
        min_requests=MIN_BULK_REQUESTS if bulk else MIN_REQUESTS,
        keep_every=len(calls) if bulk else 20,
    )
