"""The row of runs.csv: each column with its unit and its definition, from which datapackage.json is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

Key = tuple[str, ...]
KEY = ("block", "target", "scenario", "route", "concurrency", "batch", "percent", "text_tokens", "arrangement")
# The columns of a key part: a row fills one of them, by its scenario. `percent` is of files from before 2026-12.
ALIASES = {
    "concurrency": ("concurrency", "cores"),
    "percent": ("load_percent", "repeat_percent", "mixed_percent", "percent"),
}


def _describe(definition: str, unit: str = "") -> dict[str, str]:
    return {"definition": definition, "unit": unit}


def _column(definition: str, unit: str = "", default: Any = "") -> Any:
    """Return a dataclass field with a default, empty for text columns, with its unit and definition as metadata."""
    return field(default=default, metadata=_describe(definition, unit))


def _number(unit: str, definition: str) -> Any:
    return _column(definition, unit, default=None)


def _required(definition: str) -> Any:
    return field(metadata=_describe(definition))


@dataclass
class Row:
    """One measurement. The fields are the columns of runs.csv, in this order. A name ends with its unit."""

    block: int = _required("repetition of the whole campaign, from 1")
    replicate: int = _required("repeat of a cell within its block: start of `cold`, try of a disturbed window")
    seed: int = _required("seed of the block's texts and arrivals")
    target: str = _required("name of the target; `~twin` ends the name of the second copy of a target (A/A)")
    peer: bool = _required("whether the target is other people's software")
    ranked: bool = _required("whether the target may be ranked; false if no model runs")
    precision: str = _required("fp32, fp16, bf16, int8 or pseudo (no model)")
    device: str = field(default="", kw_only=True, metadata=_describe("device given to the target; empty if unknown"))
    scenario: str = _required("scenario of the harness that made the row")
    route: str = _column("route under load; `search-hybrid` and `search-reranked` in `quality`")
    concurrency: int | None = _number("requests", "requests in flight of a closed loop")
    cores: int | None = _number("cores", "cores that the server may use, in `cores` and `threads`")
    arrangement: str = _column("how a target uses several cores, in `cores`: threads, processes or apart")
    batch: int | None = _number("texts", "texts or documents of a request")
    load_percent: int | None = _number("%", "offered rate of an open loop, of the closed loop's maximum")
    repeat_percent: int | None = _number("%", "requests that repeat an earlier text, in `cache`")
    mixed_percent: int | None = _number("%", "100 where other requests run among the searches of `mixed`, 0 alone")
    text_tokens: int | None = _number("tokens", "length of every text, special tokens included, in `lengths`")
    offered_rps: float | None = _number("requests/s", "offered rate of an open loop")
    slo_ms: float | None = _number("ms", "p99 limit of the route")
    held: bool | None = _column(
        "whether the window held `slo_ms` at the offered rate, in `slo`; empty if it was measured again", default=None
    )
    client: str = _column("program that sent the load")
    started_utc: str = _column("start of the row, ISO 8601")
    requests: int | None = _number("requests", "requests sent in the window")
    validated: int | None = _number("requests", "answers with status 2xx and the right shape")
    errors: int | None = _number("requests", "requests without a validated answer")
    shed: int | None = _number("requests", "errors with status 429, 503 or 504")
    empties: int | None = _number("requests", "searches that found nothing")
    duration_s: float | None = _number("s", "from the start of the window to its last answer")
    rps: float | None = _number("requests/s", "validated answers a second, over `duration_s`")
    p50_ms: float | None = _number("ms", "median latency: from the intended send in an open loop, else from the send")
    p95_ms: float | None = _number("ms", "95th percentile of the latency, nearest rank, of 130 samples or more")
    p99_ms: float | None = _number("ms", "99th percentile of the latency, nearest rank, of 662 samples or more")
    p99_low_ms: float | None = _number("ms", "low end of the 95 % interval of the 99th percentile, in `slo`")
    p99_high_ms: float | None = _number("ms", "high end of that interval; empty if too few late answers bound it")
    p99_bound_ms: float | None = _number("ms", "upper bound of the 99th percentile, by LoadGen's early stopping")
    p999_ms: float | None = _number("ms", "99.9th percentile of the latency, nearest rank, of 6,636 samples or more")
    mean_ms: float | None = _number("ms", "mean latency")
    service_p99_ms: float | None = _number("ms", "99th percentile from the send, in both kinds of loop")
    goodput_rps: float | None = _number("requests/s", "answers within `slo_ms` a second")
    texts_per_s: float | None = _number("texts/s", "texts embedded a second")
    tokens_per_s: float | None = _number("tokens/s", "tokens embedded a second, without padding")
    pairs_per_s: float | None = _number("pairs/s", "pairs of query and document ranked a second")
    texts_per_pass: float | None = _number("texts", "texts of a forward pass, mean")
    bare_texts_per_s: float | None = _number("texts/s", "rate of the runtime alone at the same batch size")
    of_bare: float | None = _number("share", "served rate, of the rate of the runtime alone")
    p99_change: float | None = _number("times", "p99 of searches among other requests, over that alone")
    goodput_kept: float | None = _number("share", "validated answers a second, of the closed loop's maximum")
    recovery_s: float | None = _number("s", "time after a burst until latency is as before")
    cpu_ms_per_req: float | None = _number("ms", "CPU time of the target per validated request, all roles")
    cpu_roles_ms: str = _column("CPU time per request of each role: role=ms, joined by spaces", "ms")
    server_cores: float | None = _number("cores", "CPU time of the target per second of the window")
    driver_cpu: float | None = _number("cores", "CPU time of the load driver per second of the window")
    ceiling_rps: float | None = _number("requests/s", "rate that the client alone reaches, at this concurrency")
    late_p99_ms: float | None = _number("ms", "99th percentile of how late requests were sent, in an open loop")
    driver_lag: float | None = _number("share", "share of the window in which the driver's event loop was blocked")
    stall_ms: float | None = _number("ms", "longest time without an answer while requests waited")
    rss_idle_mib: float | None = _number("MiB", "resident memory before any load, all roles")
    rss_steady_mib: float | None = _number("MiB", "resident memory in the window, median of samples, all roles")
    rss_peak_mib: float | None = _number("MiB", "largest resident memory in the window, all roles")
    rss_recovered_mib: float | None = _number("MiB", "resident memory after the window, all roles")
    rss_mib_per_min: float | None = _number("MiB/min", "growth of the resident memory in `soak`")
    pss_mib: float | None = _number("MiB", "proportional memory after the window: shared pages count once")
    uss_mib: float | None = _number("MiB", "memory after the window that no other process shares")
    rss_roles_mib: str = _column("steady resident memory of each role: role=MiB, joined by spaces", "MiB")
    pss_roles_mib: str = _column("proportional memory of each role: role=MiB, joined by spaces", "MiB")
    gpu_mem_mib: float | None = _number("MiB", "largest GPU memory in the window; empty without a GPU")
    gpu_util: float | None = _number("%", "time in which the GPU was busy, mean")
    gpu_power_w: float | None = _number("W", "power of the whole card, mean")
    gpu_j_per_1k_texts: float | None = _number("J", "energy of the whole card per 1,000 texts")
    gpu_throttled: str = _column("every reason for which the GPU's clocks were lowered")
    forwards: float | None = _number("texts", "increase of the target's counter of texts in forward passes")
    checked: int | None = _number("answers", "answers compared with the reference")
    agreed: int | None = _number("answers", "answers that agree with the reference")
    steal: float | None = _number("cores", "CPU time that the host took, per second")
    foreign_cores: float | None = _number("cores", "CPU time of other processes, per second")
    swapped_mib: float | None = _number("MiB", "memory swapped by the machine in the window")
    drift: float | None = _number("share", "the look of `drift_before` and `drift_after` that is farther from usual")
    drift_before: float | None = _number(
        "share", "time of a fixed work before the window, over that at the start, minus 1"
    )
    drift_after: float | None = _number("share", "the same after the window; above 0 the machine was slower")
    documents: int | None = _number("documents", "documents in the index")
    ingest_texts_per_s: float | None = _number("texts/s", "texts ingested a second, until they can be found")
    cosine_min: float | None = _number("", "least cosine of a vector with the reference's")
    cosine_mean: float | None = _number("", "mean cosine of vectors with the reference's")
    questions: int | None = _number("questions", "questions of the retrieval test")
    hit1: float | None = _number("share", "questions whose passage is the first result")
    hit5: float | None = _number("share", "questions whose passage is among the first 5 results")
    ndcg10: float | None = _number("", "nDCG of the first 10 results")
    reference_hit1: float | None = _number("share", "`hit1` of the reference, dense search in fp32")
    reference_hit5: float | None = _number("share", "`hit5` of the reference")
    reference_ndcg10: float | None = _number("", "`ndcg10` of the reference")
    page_cache: str = _column("`warm` if the files of a start were in the page cache, `cold` if not")
    listening_s: float | None = _number("s", "from exec until the port is open")
    ready_s: float | None = _number("s", "from exec until the target says that it is ready")
    first_answer_s: float | None = _number("s", "from exec until the first answer that agrees with the reference")
    steady_s: float | None = _number("s", "from exec until latency no longer falls")
    environment_mb: float | None = _number("MB", "disk space of the target's environment")
    model_mb: float | None = _number("MB", "disk space of the target's model files")
    codes: str = _column("codes earned in the window, joined by spaces; verdicts.csv has those at the end")
    reason: str = _column("why the row was refused, or a remark, in words")

    @property
    def key(self) -> Key:
        """The values of KEY, which identify the row's cell within its campaign."""
        return key_of(asdict(self))


# Scenarios that use `Cell.percent` and `Cell.concurrency` for a load of their own, and the column of that load.
PERCENT_COLUMNS = {"cache": "repeat_percent", "mixed": "mixed_percent"}
CONCURRENCY_COLUMNS = {"threads": "cores"}


def load_columns(scenario: str, concurrency: Any = None, batch: Any = None, percent: Any = None) -> dict[str, Any]:
    """Return the load of a cell by column of runs.csv; the scenario decides what its numbers mean."""
    return {
        CONCURRENCY_COLUMNS.get(scenario, "concurrency"): concurrency,
        "batch": batch,
        PERCENT_COLUMNS.get(scenario, "load_percent"): percent,
    }


COLUMNS = [column.name for column in fields(Row)]


def key_of(row: Mapping[str, Any]) -> Key:
    """Return the values of KEY of a row: of one read from a file, new or old, or of `asdict` of a new one."""
    return tuple(_read_text(row, ALIASES.get(name, (name,))) for name in KEY)


def _read_text(row: Mapping[str, Any], columns: Sequence[str]) -> str:
    """Return the first value among the columns as text; "" if all are empty."""
    values = (row.get(column) for column in columns)
    return next((str(value) for value in values if value not in (None, "")), "")
