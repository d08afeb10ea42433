"""What makes a result void, in one table, and the rules that say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.statistics import FLOORS


@dataclass(frozen=True)
class Code:
    """A reason not to believe a row; one that does not refuse only qualifies it."""

    meaning: str
    refuses: bool = True


CODES = {
    "E_ERR": Code("more than 0.1 % of the requests failed"),
    "E_WRONG": Code("answers disagree with the reference, or search finds less than the reference does"),
    "E_EMPTY": Code("search answered nothing, or the index holds fewer documents than were ingested"),
    "E_NOMODEL": Code("nothing proves that the model ran for the requests"),
    "E_CLIENT": Code("the driver was near its own ceiling: this measures the client"),
    "E_TRUNC": Code("token counts differ from the reference tokenizer's by more than 2 %"),
    "E_PIN": Code("server and driver were not kept on cores of their own"),
    "E_START": Code("the target did not start, or died"),
    "E_N": Code("too few samples for the percentiles left blank", refuses=False),
    "E_ENV": Code("other work or a busy host took CPU during the window", refuses=False),
}

MAX_ERROR_SHARE = 0.001
MAX_CEILING_SHARE = 0.70
MAX_DRIVER_CPU = 0.90
MAX_TOKEN_GAP = 0.02
MAX_FOREIGN_CORES = 0.10
MAX_STEAL = 0.05  # of one core: what it costs stays inside the ±5 % called equivalent


@dataclass(frozen=True)
class Tolerance:
    """How far a precision may be from fp32 sentence-transformers before it is another model."""

    cosine_min: float
    cosine_mean: float
    score: float
    quality_points: float


TOLERANCES = {
    "fp32": Tolerance(cosine_min=0.999, cosine_mean=0.999, score=0.002, quality_points=1.0),
    "int8": Tolerance(cosine_min=0.97, cosine_mean=0.99, score=0.05, quality_points=2.0),
}


@dataclass(frozen=True)
class WindowEvidence:
    """
    What a timed window left to judge it by.

    `checked` sampled answers were compared with the reference and `agreed` of them agree; both are zero for a target
    without a model. `forwards` is how far the forward-pass counter moved, None when the target exposes none.
    """

    requests: int
    errors: int
    empties: int
    validated: int
    rps: float
    ceiling_rps: float
    driver_cpu: float
    pinned: bool
    checked: int = 0
    agreed: int = 0
    forwards: float | None = None
    forwards_expected: int = 0
    has_model: bool = True
    steal: float = 0.0
    foreign_cores: float = 0.0


def judge_window(seen: WindowEvidence) -> list[str]:
    """The codes a timed window earns, in the order of the table."""
    floor = max(FLOORS.values())
    earned = {
        "E_ERR": seen.requests == 0 or seen.errors > MAX_ERROR_SHARE * seen.requests,
        "E_WRONG": seen.agreed < seen.checked,
        "E_EMPTY": seen.empties > 0,
        "E_NOMODEL": no_model(seen),
        "E_CLIENT": seen.rps > MAX_CEILING_SHARE * seen.ceiling_rps or seen.driver_cpu > MAX_DRIVER_CPU,
        "E_PIN": not seen.pinned,
        "E_N": seen.validated < floor,
        "E_ENV": seen.steal > MAX_STEAL or seen.foreign_cores > MAX_FOREIGN_CORES,
    }
    return [code for code in CODES if earned.get(code)]


def no_model(seen: WindowEvidence) -> bool:
    """
    Whether nothing proves a forward pass per request.

    A counter must have moved by at least the number of requests; without one, a sampled answer to a text never sent
    before must agree with the reference.
    """
    if not seen.has_model:
        return False
    if seen.forwards is not None:
        return seen.forwards < seen.forwards_expected
    return seen.agreed == 0


def refused(codes: Sequence[str]) -> bool:
    """Whether any of the codes voids the row."""
    return any(CODES[code].refuses for code in codes)
