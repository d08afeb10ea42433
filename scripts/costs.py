"""
Where a gateway's time and memory go: which operators a pass is made of, and what the pages of its processes are.

    python -m scripts.costs --out results/<machine>/<date>-costs

`passes.csv`: the share of each operator in the time of passes over SQuAD's questions, by ONNX Runtime's own profile,
on one thread; for products of matrices also how fast they are, beside numpy's BLAS on this core. `memory.csv`: the
proportional set size of each role by what its pages are of, after the passages were ingested and questions were
asked sixteen at a time.
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

from bench import cores, paths, targets
from bench.bare_onnx import DISABLED, feeds
from bench.datasets import squad
from bench.processes import Place, Running

QUESTIONS, AT_ONCE, REPEATS = 320, 16, 3
ASKED_S = 8.0
GATEWAYS = ("onnx_py", "onnx_py-int8", "split", "python")
PRODUCT = re.compile(r"MatMul|Gemm")
# Of a mapping's path; what matches none is another file, and what has no path is memory of the process's own.
KINDS = {"model": str(paths.models_dir()), "libraries": ".so", "data": "/data/"}


def main() -> None:
    """Measure both, print them, and write them where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for passes.csv and memory.csv")
    out: Path | None = parser.parse_args().out
    passes = pd.DataFrame(_passes())
    _show("passes", passes[passes["share"] >= 0.005])
    memory = pd.DataFrame(_memory())
    _show(
        "memory, PSS in MiB",
        memory.pivot_table(index=["gateway", "role"], columns="of", values="pss_mib").reset_index(),
    )
    if out:
        out.mkdir(parents=True, exist_ok=True)
        passes.to_csv(out / "passes.csv", index=False, float_format="%.4g")
        memory.to_csv(out / "memory.csv", index=False, float_format="%.4g")


def _passes() -> Iterator[dict[str, Any]]:
    """Yield a row for each operator of each graph, the costliest first."""
    server = cores.split(cores.available()).server
    with cores.pinned(server):
        for precision in ("fp32", "int8"):
            profile = _profiled(paths.model_dir() / "onnx" / f"{precision}.onnx")
            took_ms = {name: sum(event["dur"] for event in its) / 1e3 for name, its in profile.items()}
            for name in sorted(took_ms, key=lambda name: -took_ms[name]):
                work = sum(map(_operations, profile[name])) if PRODUCT.search(name) else 0
                yield {
                    "precision": precision,
                    "operator": name,
                    "share": took_ms[name] / sum(took_ms.values()),
                    "giga_operations_per_s": work / took_ms[name] / 1e6 or None,
                }
        yield {"precision": "fp32", "operator": "numpy's product", "share": 0.0, "giga_operations_per_s": _blas()}


def _profiled(graph: Path) -> Mapping[str, Sequence[dict[str, Any]]]:
    """Return the events of ONNX Runtime's profile of some passes, by operator; the first ones warm it up."""
    tokenizer = Tokenizer.from_file(str(paths.model_dir() / "tokenizer.json"))
    tokenizer.no_padding()
    rows = sorted((one.ids for one in tokenizer.encode_batch(_questions(QUESTIONS))), key=len)
    batches = [feeds(rows[at : at + AT_ONCE]) for at in range(0, len(rows), AT_ONCE)]
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
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in nodes[len(nodes) // (1 + REPEATS) :]:
        found[event["args"]["op_name"]].append(event)
    return found


def _operations(event: Mapping[str, Any]) -> int:
    """Return the multiplications and additions of a product: two for each of its cells and each inner dimension."""
    first = next(iter(event["args"]["input_type_shape"][0].values()))
    cells = next(iter(event["args"]["output_type_shape"][0].values()))
    return 2 * int(np.prod(cells)) * int(first[-1])


def _blas() -> float:
    """Return the operations a second, in billions, of a product as MiniLM's largest over a full pass."""
    left, right = np.ones((512, 384), np.float32), np.ones((384, 1536), np.float32)
    taken_s = []
    with threadpool_limits(1):
        for _ in range(200):
            started_s = time.perf_counter()
            left @ right
            taken_s.append(time.perf_counter() - started_s)
    return 2 * left.size * right.shape[1] / min(taken_s) / 1e9


def _memory() -> Iterator[dict[str, Any]]:
    """Yield a row for each role of each gateway and each kind of page."""
    pinning = cores.split(cores.available())
    for name in GATEWAYS:
        target = targets.load(paths.TARGETS / f"{name}.toml", name)
        with tempfile.TemporaryDirectory() as folder:
            place = Place(pinning, Path(folder) / "data", Path(folder) / "logs")
            with Running(target, place, name) as running:
                running.wait_ready()
                _load(running.url)
                for process in running.processes:
                    for kind, kib in _pages(process.popen.pid).items():
                        yield {"gateway": name, "role": process.role.name, "of": kind, "pss_mib": kib / 1024}


def _load(url: str) -> None:
    """Ingest the passages, and ask for some seconds."""
    passages = [{"id": key, "text": text} for key, text in squad.load().passages.items()]
    with httpx.Client(base_url=url, trust_env=False, timeout=300) as http:
        jobs = [
            http.post("/v1/ingest", json={"documents": passages[at : at + 100]}).raise_for_status().json()["job_id"]
            for at in range(0, len(passages), 100)
        ]
        while http.get(f"/v1/jobs/{jobs[-1]}").json()["finished_at"] is None:
            time.sleep(0.2)
        questions, number, until_s = _questions(), count(), time.monotonic() + ASKED_S

        def ask() -> None:
            while time.monotonic() < until_s:
                question = questions[next(number) % len(questions)]
                http.post("/v1/search", json={"query": question}).raise_for_status()

        with ThreadPoolExecutor(AT_ONCE) as pool:
            for asking in [pool.submit(ask) for _ in range(AT_ONCE)]:
                asking.result()


def _questions(number: int | None = None) -> list[str]:
    return [question.text for question in squad.load().questions][:number]


def _pages(pid: int) -> Mapping[str, int]:
    """Return the proportional set size of a process in KiB, by kind of page; proc(5), smaps."""
    found: dict[str, int] = defaultdict(int)
    path = ""
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if header := re.match(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+ *(.*)", line):
            path = header[1]
        elif line.startswith("Pss:"):
            found[_kind(path)] += int(line.split()[1])
    return found


def _kind(path: str) -> str:
    if not path.startswith("/"):
        return "heap"
    return next((kind for kind, part in KINDS.items() if part in path), "other files")


def _show(title: str, frame: pd.DataFrame) -> None:
    table = Table(*map(str, frame.columns), title=title)
    for row in frame.itertuples(index=False):
        table.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row))
    Console().print(table)


if __name__ == "__main__":
    main()
