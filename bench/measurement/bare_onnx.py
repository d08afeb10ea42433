"""
The ONNX runtime alone: seconds that a graph takes for batches of token ids, one after another.

A program that runs in the environment of a target, with numpy and onnxruntime. It reads {"graph", "batches"} as JSON
from stdin.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import onnxruntime as ort

# These fusions slow the graph down on a CPU (docs/decisions/012-undo-fusions.md). The program cannot import the
# gateway's list; tests/unit/bench/measurement checks that the two lists are equal.
DISABLED = ["SkipLayerNormFusion", "BiasSkipLayerNormFusion", "BiasGeluFusion"]
REPEATS = 3


def feeds(batch: list[list[int]]) -> dict[str, Any]:
    """Return token ids and attention mask, int64 (n, longest row), padded with 0."""
    lengths = np.array([len(row) for row in batch])
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.zeros(mask.shape, np.int64)
    ids[mask] = np.concatenate(batch)
    return {"input_ids": ids, "attention_mask": mask.astype(np.int64)}


def main() -> None:
    """Print the seconds of the fastest of REPEATS passes over all batches, after one pass of warm-up."""
    task = json.load(sys.stdin)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(
        task["graph"], options, providers=["CPUExecutionProvider"], disabled_optimizers=DISABLED
    )
    batches = [feeds(batch) for batch in task["batches"]]
    times_s = []
    for _ in range(1 + REPEATS):
        started_s = time.perf_counter()
        for batch in batches:
            session.run(["sentence_embedding"], batch)
        times_s.append(time.perf_counter() - started_s)
    print(min(times_s[1:]))


if __name__ == "__main__":
    main()
