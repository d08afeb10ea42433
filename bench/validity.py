"""What makes a result void, in one table, and the rules that say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.statistics import HEADLINE_FLOOR


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
    "E_CACHE": Code("repeated texts were answered faster than new ones by more than 10 %: this measures a cache"),
    "E_CLIENT": Code("the driver was near its own ceiling, late or held up: this measures the client"),
    "E_RATE": Code("the offered rate was not reached though the target was below saturation"),
    "E_STALL": Code("nothing was answered for over half a second while requests waited: the tail is one event"),
    "E_TRUNC": Code("token counts differ from the reference tokenizer's by more than 2 %"),
    "E_PIN": Code("server and driver were not kept on cores of their own"),
    "E_START": Code("the target did not start, or died"),
    "E_ENV": Code(
        "other work or a busy host took CPU or the GPU during the window, or heat or supply slowed the GPU"
    ),
    "E_DRIFT": Code("the machine's own speed was more than 3 % off what it was as a rule in this campaign"),
    "E_SWAP": Code("the machine swapped during the window"),
    "E_CV": Code("the blocks of this cell spread by more than 10 %: they decide nothing", refuses=False),
    "E_N": Code("too few samples for the percentiles left blank", refuses=False),
}
# The machine's doing and not the target's: such a window is kept, refused, and measured again.
DISTURBED = ("E_ENV", "E_DRIFT", "E_SWAP")
# What voids a window and is not the target's doing.
MACHINE = (*DISTURBED, "E_CLIENT", "E_PIN")

MAX_ERROR_SHARE = 0.001
MAX_CEILING_SHARE = 0.70
MAX_DRIVER_CPU = 0.90
MAX_LAG = 0.05  # of the window
MAX_LATE_MS = 10.0
MAX_TOKEN_GAP = 0.02
MAX_CACHE_GAIN = 0.10
MAX_DRIFT = 0.03
MAX_CV = 0.10
MIN_RATE_SHARE, SATURATED_PERCENT = 0.95, 90
STALL_MS, STALL_MEDIANS = 500.0, 5.0
MAX_FOREIGN_CORES = 0.10
MAX_STEAL = 0.05  # of one core: what it costs stays inside the ±5 % called equivalent
# Of the reasons why a card runs slower than asked for, those that pass: heat, supply, and other cards that it keeps
# step with. Its power limit (sw_power_cap) and clocks that someone set are the card as it is sold and run, at every
# hour: they are recorded, and belong to the figures.
GPU_SLOWED = ("hw_slowdown", "hw_thermal", "hw_power_brake", "sw_thermal", "sync_boost")


@dataclass(frozen=True)
class Tolerance:
    """How far a precision may be from fp32 sentence-transformers before it is another model."""

    cosine_min: float
    cosine_mean: float
    score: float
    quality_points: float


TOLERANCES = {
    "fp32": Tolerance(cosine_min=0.999, cosine_mean=0.999, score=0.002, quality_points=1.0),
    **dict.fromkeys(
        ("fp16", "bf16"), Tolerance(cosine_min=0.9995, cosine_mean=0.9995, score=0.01, quality_points=0.5)
    ),
    # Of 15,860 questions and splices of them, nine had a top score off by more than 0.05, the worst by 0.061.
    "int8": Tolerance(cosine_min=0.97, cosine_mean=0.99, score=0.07, quality_points=2.0),
}


@dataclass(frozen=True)
class WindowEvidence:
    """
    What a timed window left to judge it by.

    `checked` sampled answers were compared with the reference and `agreed` of them agree; both are zero for a target
    without a model. `forwards` is how far the forward-pass counter moved, None when the target exposes none. `drift`
    is how far off the usual one the machine's speed was, `lag` the share of the window in which the driver's loop
    was held up; `offered_rps` and `percent` (of the closed maximum) belong to an open loop. `gpu_throttled` are the
    reasons why the target's card ran slower than asked for, `gpu_foreign` the other processes that computed on it.
    """

    requests: int
    errors: int
    empties: int
    validated: int
    rps: float
    ceiling_rps: float | None
    driver_cpu: float
    pinned: bool
    checked: int = 0
    agreed: int = 0
    forwards: float | None = None
    forwards_expected: int = 0
    has_model: bool = True
    steal: float = 0.0
    foreign_cores: float = 0.0
    swapped_mib: float = 0.0
    drift: float = 0.0
    lag: float = 0.0
    late_p99_ms: float = 0.0
    stall_ms: float = 0.0
    wall_s: float = 0.0
    latency_p50_ms: float = 0.0
    service_p50_ms: float = 0.0
    offered_rps: float | None = None
    percent: int | None = None
    gpu_throttled: Sequence[str] = ()
    gpu_foreign: Sequence[int] = ()


def judge_window(seen: WindowEvidence) -> list[str]:
    """The codes a timed window earns, in the order of the table."""
    earned = {
        "E_ERR": seen.requests == 0 or seen.errors > MAX_ERROR_SHARE * seen.requests,
        "E_WRONG": seen.agreed < seen.checked,
        "E_EMPTY": seen.empties > 0,
        "E_NOMODEL": no_model(seen),
        "E_CLIENT": client_bound(seen),
        "E_RATE": rate_missed(seen),
        "E_STALL": seen.stall_ms > max(STALL_MS, STALL_MEDIANS * seen.service_p50_ms),
        "E_PIN": not seen.pinned,
        "E_ENV": seen.steal > MAX_STEAL or seen.foreign_cores > MAX_FOREIGN_CORES or bool(gpu_disturbed(seen)),
        "E_DRIFT": abs(seen.drift) > MAX_DRIFT,
        "E_SWAP": seen.swapped_mib > 0,
        "E_N": seen.validated < HEADLINE_FLOOR,
    }
    return [code for code in CODES if earned.get(code)]


def gpu_disturbed(seen: WindowEvidence) -> str:
    """What the machine did to the target's card, in words; "" for nothing."""
    slowed = [word for word in seen.gpu_throttled if word in GPU_SLOWED]
    said = [f"the GPU was slowed down ({', '.join(slowed)})"] if slowed else []
    if seen.gpu_foreign:
        said.append("another process computed on the GPU")
    return "; ".join(said)


def apart(drift: float, usual: float) -> float:
    """How far a speed is off the usual one, as a share; both are given as shares off the campaign's first."""
    return (1 + drift) / (1 + usual) - 1


def client_bound(seen: WindowEvidence) -> bool:
    """Whether the driver was near its ceiling, busy, held up, or late in sending what was due."""
    near = seen.ceiling_rps is not None and seen.rps > MAX_CEILING_SHARE * seen.ceiling_rps
    return near or seen.driver_cpu > MAX_DRIVER_CPU or seen.lag > MAX_LAG or seen.late_p99_ms > MAX_LATE_MS


def rate_missed(seen: WindowEvidence) -> bool:
    """Whether an open loop below saturation was answered at less than the rate it offered."""
    if seen.offered_rps is None or seen.percent is None or seen.percent > SATURATED_PERCENT:
        return False
    return not kept_up(seen.rps, seen.offered_rps, seen.wall_s, seen.latency_p50_ms)


def kept_up(rps: float, offered_rps: float, wall_s: float, latency_p50_ms: float) -> bool:
    """
    Whether answers came as fast as requests were offered.

    A window ends with its last answer, which comes about a median latency after the last request was due: that time
    is not the target's failing.
    """
    sending = 1 - latency_p50_ms / 1e3 / wall_s if wall_s else 1.0
    return rps >= MIN_RATE_SHARE * offered_rps * sending


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


def worth_another_try(codes: Sequence[str]) -> bool:
    """Whether the machine voids the row, which measured again may stand: not where the target is to blame as well."""
    blamed = refused([code for code in codes if code not in MACHINE])
    return any(code in DISTURBED for code in codes) and not blamed


def refused(codes: Sequence[str]) -> bool:
    """Whether any of the codes voids the row."""
    return any(CODES[code].refuses for code in codes)
