"""The queue that a target is, by two of its figures: one request alone, and as many a second as 64 clients get."""

from __future__ import annotations

from functools import cache

import numpy as np
from tokenizers import Tokenizer

from bench import paths
from bench.datasets import squad
from bench.errors import BenchError
from bench.report.summary import Campaign
from bench.simulate.queue import I64, Server, closed_loop

CLIENTS, REQUESTS = 64, 6_000
STEPS = 24


def calibrate(campaign: Campaign, target: str, route: str, tokens: I64) -> Server:
    """
    Return a queue that takes as long for one request as the target did on average, and serves 64 clients as fast.

    What a request costs beside the model is what one costs the pseudo gateway, which has none.
    """
    alone_s = 1 / _rps(campaign, target, route, 1)
    rps = _rps(campaign, target, route, CLIENTS)
    request_s = min(1 / _rps(campaign, "pseudo", route, CLIENTS), alone_s / 2)
    mean = float(tokens.mean())
    sample = np.resize(tokens, REQUESTS)

    def served(token_s: float) -> Server:
        return Server(pass_s=alone_s - token_s * mean, token_s=token_s, request_s=request_s)

    low, high = 0.0, alone_s / mean
    for _ in range(STEPS):
        token_s = (low + high) / 2
        if closed_loop(served(token_s), CLIENTS, sample)[1] > rps:
            low = token_s
        else:
            high = token_s
    return served((low + high) / 2)


@cache
def question_tokens() -> I64:
    """Return how many tokens each of SQuAD's questions has for the model, special ones too, in an order of chance."""
    tokenizer = Tokenizer.from_file(str(paths.model_dir() / "tokenizer.json"))
    tokenizer.no_padding()
    texts = [question.text for question in squad.load().questions]
    lengths = np.array([len(one.ids) for one in tokenizer.encode_batch(texts)])
    return np.random.default_rng(1).permutation(lengths)


def _rps(campaign: Campaign, target: str, route: str, clients: int) -> float:
    """Return what so many clients in turns got; a long campaign has one client in a scenario of its own."""
    for scenario in ("closed", "single"):
        lines = campaign.lines(scenario, route, clients)
        found = lines[lines.index == target].rps.dropna()
        if not found.empty:
            return float(found.iloc[0])
    raise BenchError(f"{campaign.folder}: no sound row of {target}, {route}, {clients} in flight")
