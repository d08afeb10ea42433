"""
The runtime alone: seconds that a graph takes for batches of token ids, one after another.

A program for the environment of a target, which has numpy and onnxruntime: {"graph", "batches"} as JSON on stdin.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import onnxruntime as ort

# The graph as it is: fused again on a CPU, it is slower (ARCHITECTURE.md, "Fusions taken back").
DISABLED = ["SkipLayerNormFusion", "BiasSkipLayerNormFusion", "BiasGeluFusion"]
REPEATS = 3


def feeds(batch: list[list[int]]) -> dict[str, Any]:
    """Ids and mask, int64 (n, longest), zeros after a row's end."""
    lengths = np.array([len(row) for row in batch])
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.zeros(mask.shape, np.int64)
    ids[mask] = np.concatenate(batch)
    return {"input_ids": ids, "attention_mask": mask.astype(np.int64)}


def main() -> None:
    """Print the least seconds of some times through all batches; the first time through warms up."""
    asked = json.load(sys.stdin)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(
        asked["graph"], options, providers=["CPUExecutionProvider"], disabled_optimizers=DISABLED
    )
    batches = [feeds(batch) for batch in asked["batches"]]
    taken_s = []
    for _ in range(1 + REPEATS):
        started_s = time.perf_counter()
        for batch in batches:
            session.run(["sentence_embedding"], batch)
        taken_s.append(time.perf_counter() - started_s)
    print(min(taken_s[1:]))


if __name__ == "__main__":
    main()
