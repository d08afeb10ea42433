"""Calibration of a target's queue by two figures: the latency of one request, and the throughput of 64 clients."""

from __future__ import annotations

from functools import cache

import numpy as np
from tokenizers import Tokenizer

from bench import paths
from bench.analysis.summary import Campaign
from bench.datasets import squad
from bench.errors import BenchError
from bench.simulate.queue import I64, Server, closed_loop

CLIENTS, REQUESTS = 64, 6_000
STEPS = 24


def calibrate(campaign: Campaign, target: str, route: str, tokens: I64) -> Server:
    """
    Return a queue with the target's mean latency of one request and its throughput with 64 clients.

    The cost of a request without the model is that of the pseudo gateway. Raises BenchError if a figure is missing.
    """
    alone_s = 1 / _read_rps(campaign, target, route, 1)
    rps = _read_rps(campaign, target, route, CLIENTS)
    request_s = min(1 / _read_rps(campaign, "pseudo", route, CLIENTS), alone_s / 2)
    mean = float(tokens.mean())
    sample = np.resize(tokens, REQUESTS)

    def build(token_s: float) -> Server:
        return Server(pass_s=alone_s - token_s * mean, token_s=token_s, request_s=request_s)

    low, high = 0.0, alone_s / mean
    for _ in range(STEPS):
        token_s = (low + high) / 2
        if closed_loop(build(token_s), CLIENTS, sample)[1] > rps:
            low = token_s
        else:
            high = token_s
    return build((low + high) / 2)


@cache
def question_tokens() -> I64:
    """Return the tokens of each SQuAD question, with special tokens, (n,), in random order."""
    tokenizer = Tokenizer.from_file(str(paths.model_dir() / "tokenizer.json"))
    tokenizer.no_padding()
    texts = [question.text for question in squad.load().questions]
    lengths = np.array([len(encoding.ids) for encoding in tokenizer.encode_batch(texts)])
    return np.random.default_rng(1).permutation(lengths)


def _read_rps(campaign: Campaign, target: str, route: str, clients: int) -> float:
    """Return requests a second of `clients` in the closed loop; scenario `single` may have those of one client."""
    for scenario in ("closed", "single"):
        lines = campaign.lines(scenario, route, clients)
        rps = lines[lines.index == target].rps.dropna()
        if not rps.empty:
            return float(rps.iloc[0])
    raise BenchError(f"{campaign.folder}: no sound row of {target}, {route}, {clients} in flight")
