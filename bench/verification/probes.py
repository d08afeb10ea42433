"""Probes for faults that correct answers hide: a cache in front of the model, and two models that are confused."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import mannwhitneyu

from bench import dialects
from bench.arrays import F32
from bench.records.refusal_codes import MAX_CACHE_GAIN, TOLERANCES
from bench.targets import Target
from bench.targets.api_client import Api
from bench.verification.agreement import agrees, cosines
from bench.verification.reference import Reference

REPEAT_AFTER = 5  # requests; any cache holds at least 5 entries
MAX_P_VALUE = 0.001


@dataclass(frozen=True)
class RepeatTimes:
    """Latencies in milliseconds of first requests and of repeated requests for the same texts."""

    first_ms: Sequence[float]
    again_ms: Sequence[float]

    @property
    def gain(self) -> float:
        """The share by which the median repeat is faster; negative if it is slower."""
        return 1 - float(np.median(self.again_ms)) / float(np.median(self.first_ms))

    @property
    def cached(self) -> bool:
        """Whether repeats are faster by over 10 %, and significantly so (Mann-Whitney U test, p < 0.001)."""
        p_value = mannwhitneyu(self.again_ms, self.first_ms, alternative="less").pvalue
        return self.gain > MAX_CACHE_GAIN and float(p_value) < MAX_P_VALUE


def time_repeats(api: Api, route: str, texts: Sequence[str]) -> RepeatTimes:
    """
    Request each text twice, the second time REPEAT_AFTER requests later; return the latencies.

    First and repeated requests alternate, so that a slow phase of the machine slows both alike.
    """
    first_ms, again_ms = [], []
    for number in range(len(texts) + REPEAT_AFTER):
        if number < len(texts):
            first_ms.append(_time_request_ms(api, route, texts[number]))
        if number >= REPEAT_AFTER:
            again_ms.append(_time_request_ms(api, route, texts[number - REPEAT_AFTER]))
    return RepeatTimes(first_ms, again_ms)


def _time_request_ms(api: Api, route: str, text: str) -> float:
    path, body = api.dialect.path(route), api.dialect.body(route, text)
    started_s = time.perf_counter()
    api.post(path, body)
    return (time.perf_counter() - started_s) * 1e3


def find_model_confusion(target: Target, api: Api, reference: Reference, texts: Sequence[str]) -> str:
    """
    Request each text from the other model, the target's model, and the other again; return the fault, "" for none.

    A cache whose key lacks the model returns one model's vectors for the other model.
    """
    own, other = api.dialect, dialects.load(target.dialect, target.other_model)
    for text in texts:
        before, raw, after = (_embed(api, dialect, text) for dialect in (other, own, other))
        if not agrees(target, "embeddings", own, reference, [text], raw):
            return f"right after a request for {target.other_model}, the target's model disagrees with the reference"
        vectors = own.read_embeddings(raw)
        if any(_same_model(target, vectors, other.read_embeddings(answer)) for answer in (before, after)):
            return f"a request for {target.other_model} returns the vectors of the target's model"
    return ""


def _embed(api: Api, dialect: dialects.Dialect, text: str) -> bytes:
    return api.post(dialect.path("embeddings"), dialect.embed_body([text]))


def _same_model(target: Target, vectors: F32, other_vectors: F32) -> bool:
    tolerance = TOLERANCES[target.precision].cosine_min
    return vectors.shape == other_vectors.shape and float(cosines(other_vectors, vectors).min()) >= tolerance
