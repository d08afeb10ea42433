"""The loads and columns of each scenario's table, as data."""

from __future__ import annotations

from dataclasses import dataclass

Column = tuple[str, str, int]  # header with its unit, column of runs.csv, digits

TIMES: tuple[Column, ...] = (("p50 ms", "p50_ms", 1), ("p95 ms", "p95_ms", 1), ("p99 ms", "p99_ms", 1))
CPU: Column = ("CPU ms/req", "cpu_ms_per_req", 2)
OFFERED: Column = ("offered RPS", "offered_rps", 1)
GOODPUT: Column = ("within SLO RPS", "goodput_rps", 1)
RPS: Column = ("RPS", "rps", 1)
OF_BARE: Column = ("of it served", "of_bare", 2)
ROUTE, OF_MAX = {"route": "route"}, {"load_percent": "% of closed max"}


@dataclass(frozen=True)
class Spec:
    """
    A scenario's table: its title, the header of each load, its columns.

    `bounded` is the column of runs.csv with a 95 % interval beside it. The interval needs three blocks.
    """

    scenario: str
    title: str
    loads: dict[str, str]
    columns: tuple[Column, ...]
    bounded: str = ""


MEMORY: tuple[Column, ...] = (
    ("idle MiB", "rss_idle_mib", 0),
    ("steady MiB", "rss_steady_mib", 0),
    ("peak MiB", "rss_peak_mib", 0),
    ("recovered MiB", "rss_recovered_mib", 0),
    ("PSS MiB", "pss_mib", 0),
    ("USS MiB", "uss_mib", 0),
)
COLD: tuple[Column, ...] = (
    ("listening s", "listening_s", 2),
    ("ready s", "ready_s", 2),
    ("first validated answer s", "first_answer_s", 2),
    ("steady s", "steady_s", 2),
    ("idle MiB", "rss_idle_mib", 0),
)
QUALITY: tuple[Column, ...] = (
    ("nDCG@10", "ndcg10", 4),
    ("hit@1", "hit1", 4),
    ("hit@5", "hit5", 4),
    ("reference nDCG@10, dense", "reference_ndcg10", 4),
    ("questions", "questions", 0),
)
SOAK: tuple[Column, ...] = (
    ("growth MiB/min", "rss_mib_per_min", 2),
    ("seconds", "duration_s", 0),
    RPS,
    ("peak MiB", "rss_peak_mib", 0),
    ("recovered MiB", "rss_recovered_mib", 0),
)
GPU: tuple[Column, ...] = (
    ("GPU MiB", "gpu_mem_mib", 0),
    ("GPU busy %", "gpu_util", 0),
    ("GPU W", "gpu_power_w", 0),
    ("J / 1,000 texts", "gpu_j_per_1k_texts", 2),
)
SERVER = (OFFERED, *TIMES, ("p99.9 ms", "p999_ms", 1), GOODPUT, CPU)
OFFLINE = (("texts/s", "texts_per_s", 1), ("tokens/s", "tokens_per_s", 0), *TIMES)
OVERLOAD = (OFFERED, RPS, ("of closed max", "goodput_kept", 2), GOODPUT, ("shed", "shed", 0), *TIMES)
CROWD = OVERLOAD[1:]
MIXED = (*TIMES, ("p99, times that alone", "p99_change", 2), GOODPUT, RPS)

SPECS = (
    Spec("single", "One request in flight", ROUTE, (RPS, *TIMES, CPU), "p50_ms"),
    Spec("server", "Open loop: latency from the intended send", {**ROUTE, **OF_MAX}, SERVER, "p99_ms"),
    Spec("offline", "Embedding in bulk, one request in flight", {"batch": "texts a request"}, OFFLINE, "texts_per_s"),
    Spec("threads", "Embedding in bulk, by cores", {"cores": "cores"}, OFFLINE),
    Spec(
        "cores",
        "Embedding by cores, as threads, processes, and split apart",
        {"arrangement": "arrangement", "batch": "texts a request", "concurrency": "in flight"},
        (("cores", "cores", 0), ("texts/s", "texts_per_s", 1), ("cores busy", "server_cores", 2), *TIMES, CPU),
        "texts_per_s",
    ),
    Spec(
        "bare",
        "Against the runtime alone",
        {**ROUTE, "concurrency": "in flight"},
        (RPS, ("texts a pass", "texts_per_pass", 1), ("runtime alone, texts/s", "bare_texts_per_s", 1), OF_BARE),
    ),
    Spec("store", "A large index, one request in flight", ROUTE, (("documents", "documents", 0), RPS, *TIMES)),
    Spec(
        "rerank",
        "Reranking, one request in flight",
        {"batch": "k"},
        (("pairs/s", "pairs_per_s", 1), *TIMES),
        "pairs_per_s",
    ),
    Spec("closed", "The GPU in the sweep", {**ROUTE, "concurrency": "c"}, GPU),
    Spec("offline", "The GPU when embedding in bulk", {"batch": "texts a request"}, GPU),
    Spec("mixed", "Searches alone and among reranking and ingesting", {"mixed_percent": "% mixed traffic"}, MIXED),
    Spec("overload", "Overload: more offered than can be answered", OF_MAX, OVERLOAD),
    Spec("crowd", "A crowd that comes back at once after a refusal", {**ROUTE, "concurrency": "connections"}, CROWD),
    Spec("burst", "A burst on a half load", OF_MAX, (("recovery s", "recovery_s", 2), *TIMES)),
    Spec("soak", "Soak", {}, SOAK),
    Spec(
        "cache",
        "Repeated texts",
        {**ROUTE, "repeat_percent": "% repeats", "concurrency": "in flight"},
        (RPS, *TIMES, ("forward passes", "forwards", 0)),
    ),
    Spec("quality", "Retrieval quality", ROUTE, QUALITY),
    Spec("cold", "Cold start, from exec", {"page_cache": "page cache"}, COLD),
)
