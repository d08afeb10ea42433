"""What right answers alone do not show: that it is a cache that answers, or that two models are mixed up."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import mannwhitneyu

from bench import dialects
from bench.agreement import agrees, cosines
from bench.api import Api
from bench.reference import F32, Reference
from bench.targets import Target
from bench.validity import MAX_CACHE_GAIN, TOLERANCES

REPEAT_AFTER = 5  # requests: a cache holds at least so many
MAX_CHANCE = 0.001


@dataclass(frozen=True)
class Repeats:
    """Milliseconds of single requests: of texts asked for the first time, and of the same texts asked again."""

    first_ms: Sequence[float]
    again_ms: Sequence[float]

    @property
    def gain(self) -> float:
        """By which share the median repeat is faster; below zero when it is slower."""
        return 1 - float(np.median(self.again_ms)) / float(np.median(self.first_ms))

    @property
    def cached(self) -> bool:
        """Whether repeats are faster by more than is allowed, and by more than chance (Mann and Whitney 1947)."""
        chance = mannwhitneyu(self.again_ms, self.first_ms, alternative="less").pvalue
        return self.gain > MAX_CACHE_GAIN and float(chance) < MAX_CHANCE


def repeats(api: Api, route: str, texts: Sequence[str]) -> Repeats:
    """
    Ask each text twice, the second time a few requests later.

    New and repeated requests take turns, so that whatever slows the machine for a while slows both alike.
    """
    first_ms, again_ms = [], []
    for number in range(len(texts) + REPEAT_AFTER):
        if number < len(texts):
            first_ms.append(_milliseconds(api, route, texts[number]))
        if number >= REPEAT_AFTER:
            again_ms.append(_milliseconds(api, route, texts[number - REPEAT_AFTER]))
    return Repeats(first_ms, again_ms)


def _milliseconds(api: Api, route: str, text: str) -> float:
    path, body = api.dialect.path(route), api.dialect.body(route, text)
    started_s = time.perf_counter()
    api.post(path, body)
    return (time.perf_counter() - started_s) * 1e3


def mixed_up(target: Target, api: Api, reference: Reference, texts: Sequence[str]) -> str:
    """
    Ask each text of the target's other model, of its own, and of the other again; what is wrong, "" for nothing.

    A cache that ignores the model gives one model's vectors for the other's.
    """
    own, other = api.dialect, dialects.load(target.dialect, target.other_model)
    for text in texts:
        before, raw, after = (_raw(api, dialect, text) for dialect in (other, own, other))
        if not agrees(target, "embeddings", own, reference, [text], raw):
            return f"asked right after {target.other_model}, its own model's answer is not the reference's"
        vectors = own.read_embeddings(raw)
        if any(_alike(target, vectors, other.read_embeddings(answer)) for answer in (before, after)):
            return f"asked for {target.other_model}, it answers with its own model's vectors"
    return ""


def _raw(api: Api, dialect: dialects.Dialect, text: str) -> bytes:
    return api.post(dialect.path("embeddings"), dialect.embed_body([text]))


def _alike(target: Target, vectors: F32, others: F32) -> bool:
    allowed = TOLERANCES[target.precision].cosine_min
    return vectors.shape == others.shape and float(cosines(others, vectors).min()) >= allowed
