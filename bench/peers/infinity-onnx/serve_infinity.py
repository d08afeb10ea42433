"""
infinity's own command line, with a number of threads for ONNX Runtime, which infinity has no option for.

Usage: serve_infinity.py <threads> <model folder> <arguments of infinity_emb>. Without a number ONNX Runtime starts a
thread per core of the machine and sets their affinity itself, so that it leaves the cores that it was started on.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import onnxruntime

THREADS, FOLDER = int(sys.argv[1]), sys.argv[2]


class LimitedOptions(onnxruntime.SessionOptions):  # type: ignore[misc]
    """Session options whose number of threads is set."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.intra_op_num_threads = THREADS


def main() -> None:
    """Serve from the model's folder, under whose relative name infinity keeps the graph that it optimises."""
    onnxruntime.SessionOptions = LimitedOptions
    os.chdir(FOLDER)
    from infinity_emb.cli import cli

    sys.argv = ["infinity_emb", *sys.argv[3:]]
    cli()


if __name__ == "__main__":
    main()
