"""Refusal codes: the table of reasons that void a result, and the rules that assign them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.statistics import HEADLINE_FLOOR


@dataclass(frozen=True)
class Code:
    """A reason to doubt a row. A code with `refuses=False` only qualifies the row and does not void it."""

    meaning: str
    refuses: bool = True


CODES = {
    "E_ERR": Code("more than 0.1 % of the requests failed"),
    "E_WRONG": Code("answers disagree with the reference, or search finds less than the reference does"),
    "E_EMPTY": Code("search returned no results, or the index holds fewer documents than were ingested"),
    "E_NOMODEL": Code("nothing proves that the model ran for the requests"),
    "E_CACHE": Code("repeated texts were answered over 10 % faster than new ones, so a cache was measured"),
    "E_CLIENT": Code("the driver was near its ceiling, late or stalled, so the client was measured"),
    "E_RATE": Code("the target did not keep up with an offered rate below its saturation"),
    "E_STALL": Code("no answer arrived for over half a second while requests waited, so one event makes the tail"),
    "E_TRUNC": Code("token counts differ from the reference tokenizer's by more than 2 %"),
    "E_PIN": Code("server and driver did not run on separate cores"),
    "E_CORES": Code("the target used more CPU than its cores have, or its threads may run on other cores"),
    "E_QUOTA": Code("the CPU quota of the cgroup stopped the server or the driver in the window"),
    "E_START": Code("the target did not start, or died"),
    "E_ENV": Code("other processes or the host took CPU or GPU time in the window, or heat or power slowed the GPU"),
    "E_DRIFT": Code("the machine's speed was more than 3 % off its usual speed in this campaign"),
    "E_SWAP": Code("the machine swapped during the window"),
    "E_CV": Code("the blocks of this cell spread by more than 10 %, so they decide nothing", refuses=False),
    "E_N": Code("too few samples for the percentiles that are blank", refuses=False),
}
# Disturbances by the machine: the window is kept, refused, and measured again.
DISTURBED = ("E_ENV", "E_DRIFT", "E_SWAP")
# Every code for which the target is not to blame.
MACHINE = (*DISTURBED, "E_CLIENT", "E_PIN", "E_QUOTA")
# Codes that a disturbance of the machine or of the driver can cause.
CAUSED = ("E_RATE", "E_STALL")

MAX_ERROR_SHARE = 0.001
MAX_CEILING_SHARE = 0.70
MAX_DRIVER_CPU = 0.90
MAX_LAG = 0.05  # share of the window
MAX_LATE_MS = 10.0
MAX_TOKEN_GAP = 0.02
MAX_CACHE_GAIN = 0.10
MAX_DRIFT = 0.03
MAX_CV = 0.10
MIN_RATE_SHARE, SATURATED_PERCENT = 0.95, 90
STALL_MS, STALL_MEDIANS = 500.0, 5.0
MAX_FOREIGN_CORES = 0.10
# Linux counts CPU time in ticks of 10 ms per thread, so a busy core may seem a little busier than it can be.
MAX_CORES_SHARE, TICKS_CORES = 1.05, 0.05
MAX_STEAL = 0.05  # of one core, so that its cost stays within the ±5 % that count as equivalent
# Temporary throttle reasons: heat, power supply, and synchronisation with other cards. The power limit
# (sw_power_cap) and clocks set by an administrator are permanent, so they are recorded and refuse nothing.
GPU_SLOWED = ("hw_slowdown", "hw_thermal", "hw_power_brake", "sw_thermal", "sync_boost")


@dataclass(frozen=True)
class Tolerance:
    """Largest accepted distance of a precision from fp32 sentence-transformers."""

    cosine_min: float
    cosine_mean: float
    score: float
    quality_points: float


TOLERANCES = {
    "fp32": Tolerance(cosine_min=0.999, cosine_mean=0.999, score=0.002, quality_points=1.0),
    **dict.fromkeys(
        ("fp16", "bf16"), Tolerance(cosine_min=0.9995, cosine_mean=0.9995, score=0.01, quality_points=0.5)
    ),
    # Nine of 15,860 questions and splices had a top score more than 0.05 off; the largest error was 0.061.
    "int8": Tolerance(cosine_min=0.97, cosine_mean=0.99, score=0.07, quality_points=2.0),
}


@dataclass(frozen=True)
class WindowEvidence:
    """
    Evidence about one timed window, from which its codes follow.

    * `checked`: sampled answers compared with the reference; `agreed`: those that agree. Both are 0 without a model.
    * `on_own_cores`: no thread of the target may leave its cores. `cores_used`: CPU seconds per second, of `cores`;
      0 of 0 for an external target. `throttled`: scheduler periods in which the CPU quota stopped the cgroup.
    * `forwards`: increase of the target's counter of forward-passed texts; None if the target exposes no counter.
    * `drift`: the machine's speed relative to its usual speed in the campaign, minus 1.
    * `lag`: share of the window in which the driver's event loop was blocked.
    * `offered_rps`, `percent` (of the closed-loop maximum): set for an open loop only.
    * `gpu_throttled`: reasons why the GPU's clocks were lowered; `gpu_foreign`: ids of other processes on the GPU.
    """

    requests: int
    errors: int
    empties: int
    validated: int
    rps: float
    ceiling_rps: float | None
    driver_cpu: float
    pinned: bool
    on_own_cores: bool = True
    cores_used: float = 0.0
    cores: int = 0
    throttled: int = 0
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


def judge_window(evidence: WindowEvidence) -> list[str]:
    """Return the codes of a timed window, in the order of CODES."""
    verdicts = {
        "E_ERR": evidence.requests == 0 or evidence.errors > MAX_ERROR_SHARE * evidence.requests,
        "E_WRONG": evidence.agreed < evidence.checked,
        "E_EMPTY": evidence.empties > 0,
        "E_NOMODEL": lacks_forward_proof(evidence),
        "E_CLIENT": client_bound(evidence),
        "E_RATE": rate_missed(evidence),
        "E_STALL": evidence.stall_ms > max(STALL_MS, STALL_MEDIANS * evidence.service_p50_ms),
        "E_PIN": not evidence.pinned,
        "E_CORES": left_cores(evidence),
        "E_QUOTA": evidence.throttled > 0,
        "E_ENV": evidence.steal > MAX_STEAL
        or evidence.foreign_cores > MAX_FOREIGN_CORES
        or bool(describe_gpu_disturbance(evidence)),
        "E_DRIFT": abs(evidence.drift) > MAX_DRIFT,
        "E_SWAP": evidence.swapped_mib > 0,
        "E_N": evidence.validated < HEADLINE_FLOOR,
    }
    return [code for code in CODES if verdicts.get(code)]


def left_cores(evidence: WindowEvidence) -> bool:
    """Whether the target computed on other cores than its own, or may have."""
    most = evidence.cores * MAX_CORES_SHARE + TICKS_CORES
    return not evidence.on_own_cores or (evidence.cores > 0 and evidence.cores_used > most)


def describe_gpu_disturbance(evidence: WindowEvidence) -> str:
    """Return a phrase that says how the target's GPU was disturbed; "" if it was not."""
    slowed = [word for word in evidence.gpu_throttled if word in GPU_SLOWED]
    phrases = [f"the GPU was slowed down ({', '.join(slowed)})"] if slowed else []
    if evidence.gpu_foreign:
        phrases.append("another process computed on the GPU")
    return "; ".join(phrases)


def relative_drift(drift: float, usual: float) -> float:
    """Return the drift of a speed from the usual one; both arguments are drifts from the campaign's first speed."""
    return (1 + drift) / (1 + usual) - 1


def client_bound(evidence: WindowEvidence) -> bool:
    """Whether the driver was near its ceiling, out of CPU, blocked, or late in sending due requests."""
    near = evidence.ceiling_rps is not None and evidence.rps > MAX_CEILING_SHARE * evidence.ceiling_rps
    return (
        near or evidence.driver_cpu > MAX_DRIVER_CPU or evidence.lag > MAX_LAG or evidence.late_p99_ms > MAX_LATE_MS
    )


def rate_missed(evidence: WindowEvidence) -> bool:
    """Whether an open loop below saturation was answered at less than its offered rate."""
    if evidence.offered_rps is None or evidence.percent is None or evidence.percent > SATURATED_PERCENT:
        return False
    return not kept_up(evidence.rps, evidence.offered_rps, evidence.wall_s, evidence.latency_p50_ms)


def kept_up(rps: float, offered_rps: float, wall_s: float, latency_p50_ms: float) -> bool:
    """
    Whether the answered rate is at least 95 % of the offered rate.

    A window ends with its last answer, about one median latency after the last request was due. That time is
    subtracted from `wall_s`.
    """
    sending = 1 - latency_p50_ms / 1e3 / wall_s if wall_s else 1.0
    return rps >= MIN_RATE_SHARE * offered_rps * sending


def lacks_forward_proof(evidence: WindowEvidence) -> bool:
    """
    Whether proof of a forward pass per request is missing.

    The proof is the forward counter, which must have grown by at least `forwards_expected`. Without a counter it is
    one sampled answer, to a text never sent before, that agrees with the reference.
    """
    if not evidence.has_model:
        return False
    if evidence.forwards is not None:
        return evidence.forwards < evidence.forwards_expected
    return evidence.agreed == 0


def should_retry(codes: Sequence[str]) -> bool:
    """
    Whether the machine or the client disturbed the row, so that another window may be sound.

    Not if a code blames the target. A missed rate and a stall blame nobody beside a disturbance, which causes both.
    """
    target_to_blame = refused([code for code in codes if code not in (*MACHINE, *CAUSED)])
    return any(code in (*DISTURBED, "E_CLIENT") for code in codes) and not target_to_blame


def refused(codes: Sequence[str]) -> bool:
    """Whether any code voids the row."""
    return any(CODES[code].refuses for code in codes)
