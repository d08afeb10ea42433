"""llama.cpp's own HTTP server, as the package `xllamacpp` has it. Usage: serve_llama.py <gguf> <port> <threads>"""

from __future__ import annotations

import signal
import sys
import threading

import xllamacpp

# Texts in one pass at most, each of at most as many tokens as sentence-transformers keeps.
SLOTS, TOKENS = 16, 256


def configure(file: str, port: int, threads: int) -> xllamacpp.CommonParams:
    """Return the parameters; README.md explains those that differ from the defaults."""
    params = xllamacpp.CommonParams()
    params.model.path = file
    params.hostnames, params.port = ["127.0.0.1"], port
    params.embedding = True
    params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    params.n_parallel = SLOTS
    params.n_ctx = params.n_batch = params.n_ubatch = SLOTS * TOKENS
    for pool in (params.cpuparams, params.cpuparams_batch):
        pool.n_threads = threads
    params.warmup, params.ui, params.verbosity = False, False, 1
    params.cache_ram_mib = 0
    return params


def main() -> None:
    """Serve until SIGTERM."""
    file, port, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    server = xllamacpp.Server(configure(file, port, threads))
    ended.wait()
    del server


if __name__ == "__main__":
    main()
