"""
Profile a forward pass by operator, and the memory of a gateway's processes by kind of page.

    python -m scripts.studies.pass_profile --out results/studies/<machine>/<date>-profile

`passes.csv`: the share of each operator in the time of forward passes over SQuAD's questions, from ONNX Runtime's
profiler on one thread. Matrix products also have their speed, beside that of numpy's BLAS on the same core.
`memory.csv`: the proportional set size (PSS) of each role by kind of page, after an ingest of SQuAD's passages and
searches by 16 clients.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime as ort
import pandas as pd
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits
from tokenizers import Tokenizer

from bench import paths, targets
from bench.datasets import squad
from bench.machine import cores
from bench.measurement.bare_onnx import DISABLED, feeds
from bench.targets.processes import Place, Server

QUESTIONS, CONCURRENCY, REPEATS = 320, 16, 3
SEARCH_S = 8.0
GATEWAYS = ("onnx_py", "onnx_py-int8", "split", "python")
PRODUCT = re.compile(r"MatMul|Gemm")
# Kind of page -> part of the mapped path. Other paths are "other files"; pages without a path are the heap.
KINDS = {"model": str(paths.models_dir()), "libraries": ".so", "data": "/data/"}


def main() -> None:
    """Measure passes and memory, print both tables, and write them into the folder --out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for passes.csv and memory.csv")
    out: Path | None = parser.parse_args().out
    passes = pd.DataFrame(_profile_passes())
    _print_table("passes", passes[passes["share"] >= 0.005])
    memory = pd.DataFrame(_measure_memory())
    _print_table(
        "memory, PSS in MiB",
        memory.pivot_table(index=["gateway", "role"], columns="of", values="pss_mib").reset_index(),
    )
    if out:
        out.mkdir(parents=True, exist_ok=True)
        passes.to_csv(out / "passes.csv", index=False, float_format="%.4g")
        memory.to_csv(out / "memory.csv", index=False, float_format="%.4g")


def _profile_passes() -> Iterator[dict[str, Any]]:
    """Yield a row for each operator of each graph, the most expensive first."""
    server = cores.choose().server
    with cores.pinned(server):
        for precision in ("fp32", "int8"):
            profile = _profile_graph(paths.model_dir() / "onnx" / f"{precision}.onnx")
            durations_ms = {name: sum(event["dur"] for event in events) / 1e3 for name, events in profile.items()}
            for name in sorted(durations_ms, key=lambda name: -durations_ms[name]):
                operations = sum(map(_count_operations, profile[name])) if PRODUCT.search(name) else 0
                yield {
                    "precision": precision,
                    "operator": name,
                    "share": durations_ms[name] / sum(durations_ms.values()),
                    "giga_operations_per_s": operations / durations_ms[name] / 1e6 or None,
                }
        speed = _measure_blas()
        yield {"precision": "fp32", "operator": "numpy's product", "share": 0.0, "giga_operations_per_s": speed}


def _profile_graph(graph: Path) -> Mapping[str, Sequence[dict[str, Any]]]:
    """Return the profiler events of REPEATS rounds over the questions, by operator. A warm-up round is left out."""
    tokenizer = Tokenizer.from_file(str(paths.model_dir() / "tokenizer.json"))
    tokenizer.no_padding()
    rows = sorted((encoding.ids for encoding in tokenizer.encode_batch(_read_questions(QUESTIONS))), key=len)
    batches = [feeds(rows[start : start + CONCURRENCY]) for start in range(0, len(rows), CONCURRENCY)]
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_profiling = True
        options.profile_file_prefix = f"{folder}/profile"
        session = ort.InferenceSession(
            str(graph), options, providers=["CPUExecutionProvider"], disabled_optimizers=DISABLED
        )
        for batch in batches * (1 + REPEATS):
            session.run(["sentence_embedding"], batch)
        events = json.loads(Path(session.end_profiling()).read_text())
    nodes = [event for event in events if event["cat"] == "Node" and event["name"].endswith("_kernel_time")]
    by_operator: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in nodes[len(nodes) // (1 + REPEATS) :]:
        by_operator[event["args"]["op_name"]].append(event)
    return by_operator


def _count_operations(event: Mapping[str, Any]) -> int:
    """Return the multiplications and additions of a matrix product: 2 x output cells x inner dimension."""
    first = next(iter(event["args"]["input_type_shape"][0].values()))
    cells = next(iter(event["args"]["output_type_shape"][0].values()))
    return 2 * int(np.prod(cells)) * int(first[-1])


def _measure_blas() -> float:
    """Return numpy's speed in 1e9 operations per second, for a product like MiniLM's largest over 512 tokens."""
    left, right = np.ones((512, 384), np.float32), np.ones((384, 1536), np.float32)
    durations_s = []
    with threadpool_limits(1):
        for _ in range(200):
            started_s = time.perf_counter()
            left @ right
            durations_s.append(time.perf_counter() - started_s)
    return 2 * left.size * right.shape[1] / min(durations_s) / 1e9


def _measure_memory() -> Iterator[dict[str, Any]]:
    """Yield a row for each role of each gateway and each kind of page."""
    pinning = cores.choose()
    for name in GATEWAYS:
        target = targets.load(paths.TARGETS / f"{name}.toml", name)
        with tempfile.TemporaryDirectory() as folder:
            place = Place(pinning, Path(folder) / "data", Path(folder) / "logs")
            with Server(target, place, name) as running:
                running.wait_ready()
                _send_load(running.url)
                for process in running.processes:
                    for kind, kib in _measure_pages(process.popen.pid).items():
                        yield {"gateway": name, "role": process.role.name, "of": kind, "pss_mib": kib / 1024}


def _send_load(url: str) -> None:
    """Ingest SQuAD's passages, then search with CONCURRENCY clients for SEARCH_S seconds."""
    passages = [{"id": key, "text": text} for key, text in squad.load().passages.items()]
    with httpx.Client(base_url=url, trust_env=False, timeout=300) as http:
        jobs = [
            http.post("/v1/ingest", json={"documents": part}).raise_for_status().json()["job_id"]
            for part in (passages[start : start + 100] for start in range(0, len(passages), 100))
        ]
        while http.get(f"/v1/jobs/{jobs[-1]}").json()["finished_at"] is None:
            time.sleep(0.2)
        questions, number, end_s = _read_questions(), count(), time.monotonic() + SEARCH_S

        def search() -> None:
            while time.monotonic() < end_s:
                question = questions[next(number) % len(questions)]
                http.post("/v1/search", json={"query": question}).raise_for_status()

        with ThreadPoolExecutor(CONCURRENCY) as pool:
            for client in [pool.submit(search) for _ in range(CONCURRENCY)]:
                client.result()


def _read_questions(limit: int | None = None) -> list[str]:
    return [question.text for question in squad.load().questions][:limit]


def _measure_pages(pid: int) -> Mapping[str, int]:
    """Return the PSS of a process in KiB by kind of page, from /proc/<pid>/smaps (proc(5))."""
    sizes_kib: dict[str, int] = defaultdict(int)
    path = ""
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if header := re.match(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+ *(.*)", line):
            path = header[1]
        elif line.startswith("Pss:"):
            sizes_kib[_classify_path(path)] += int(line.split()[1])
    return sizes_kib


def _classify_path(path: str) -> str:
    if not path.startswith("/"):
        return "heap"
    return next((kind for kind, part in KINDS.items() if part in path), "other files")


def _print_table(title: str, frame: pd.DataFrame) -> None:
    table = Table(*map(str, frame.columns), title=title)
    for row in frame.itertuples(index=False):
        table.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row))
    Console().print(table)


if __name__ == "__main__":
    main()
