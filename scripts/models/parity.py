"""Measure a graph: cosines to reference vectors, and search quality on SQuAD's passages and questions."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession, SessionOptions
from tokenizers import Tokenizer

from gateways.onnx_py.session import SLOW_FUSIONS

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]

# Texts that occur in real traffic but not in a benchmark.
HARD_TEXTS = [
    "a",
    "?",
    "0",
    "🙂🚀 emoji 👩‍👩‍👧‍👦 only 🇩🇪",
    "Füße, naïve café — déjà vu",
    "混合 scripts: Привет, мир! שלום عالم नमस्ते 한국어 text",
    "日本語の文章です。",
    "\x00\x07control\x1b[0m\u200bcharacters\ufeff\r\n\ttabs",
    "SELECT * FROM t WHERE a='b'; -- <script>alert(1)</script> {\"k\": [1, 2.5e-3]}",
    "https://example.org/a/very/long/path?with=query&and=more#fragment",
    "ALL CAPS AND    MANY     SPACES",
    "1234567890 3.14159265358979 1e-12 0xDEADBEEF",
    "word " * 10_000,
    "Donaudampfschifffahrtsgesellschaftskapitän" * 20,
]


@dataclass(frozen=True)
class SearchTexts:
    """Passages, questions, the passage index that answers each question, and questions without an answer."""

    passages: list[str]
    questions: list[str]
    answers: NDArray[np.intp]
    unanswerable: list[str]


def read_squad(path: Path, every: int, questions: int, seed: int = 0) -> SearchTexts:
    """Return each `every`-th passage of a SQuAD v2 file and a seeded sample of at most `questions` questions."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        passages = [p for article in json.load(file)["data"] for p in article["paragraphs"]][::every]
    pairs = [(qa["question"], i, qa["is_impossible"]) for i, p in enumerate(passages) for qa in p["qas"]]
    answerable = [(text, i) for text, i, impossible in pairs if not impossible]
    sample = np.random.default_rng(seed).permutation(len(answerable))[:questions]
    return SearchTexts(
        [p["context"] for p in passages],
        [answerable[i][0] for i in sample],
        np.array([answerable[i][1] for i in sample]),
        [text for text, _, impossible in pairs if impossible],
    )


def read_tokenizer(folder: Path, max_input_tokens: int) -> Tokenizer:
    """Return the model's tokenizer. It truncates to `max_input_tokens` and does not pad, whatever its file sets."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(max_input_tokens)
    tokenizer.no_padding()
    return tokenizer


def pad(rows: Sequence[Sequence[int]]) -> tuple[I64, I64]:
    """Return token ids and mask, int64 (n, longest row) each, zeros after the end of a row."""
    lengths = np.array([len(row) for row in rows])
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.zeros(mask.shape, np.int64)
    ids[mask] = np.concatenate(rows)
    return ids, mask.astype(np.int64)


def batches(rows: Sequence[Sequence[int]], size: int) -> Iterator[tuple[NDArray[np.intp], I64, I64]]:
    """Yield batches of at most `size` rows, longest rows first: row indices, ids, mask."""
    order = np.argsort([-len(row) for row in rows], kind="stable")
    for start in range(0, len(order), size):
        indices = order[start : start + size]
        yield indices, *pad([rows[i] for i in indices])


def open_session(graph: Path | bytes) -> InferenceSession:
    """Return a CPU session configured as in the gateways, with one thread for a batch."""
    options = SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    source = graph if isinstance(graph, bytes) else str(graph)
    return InferenceSession(source, options, providers=["CPUExecutionProvider"], disabled_optimizers=SLOW_FUSIONS)


def parity_texts(texts: SearchTexts, count: int = 100) -> list[str]:
    """Return the texts to compare models on: `count` passages, `count` questions, and HARD_TEXTS."""
    return [*texts.passages[:: len(texts.passages) // count][:count], *texts.questions[:count], *HARD_TEXTS]


def embed(session: InferenceSession, tokenizer: Tokenizer, texts: Sequence[str], batch_size: int = 16) -> F32:
    """Return unit vectors of the texts, (n, dimensions), from sentence_embedding; batches run in parallel."""
    rows = [encoding.ids for encoding in tokenizer.encode_batch([text.strip() for text in texts])]

    def unit_vectors(batch: tuple[NDArray[np.intp], I64, I64]) -> F32:
        feeds = {"input_ids": batch[1], "attention_mask": batch[2]}
        pooled: F32 = np.asarray(session.run(["sentence_embedding"], feeds)[0])
        vectors: F32 = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return vectors

    queue = list(batches(rows, batch_size))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        vectors: F32 = np.concatenate(list(pool.map(unit_vectors, queue)))
    return vectors[np.argsort(np.concatenate([indices for indices, _, _ in queue]))]


def cosines(vectors: F32, reference: F32) -> dict[str, float]:
    """Return mean and minimum cosine of corresponding rows, in float64 to distinguish 1 - 1e-7 from 1."""
    a, b = vectors.astype(np.float64), reference.astype(np.float64)
    values = (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return {"mean": float(values.mean()), "min": float(values.min())}


def search_quality(passages: F32, questions: F32, answers: NDArray[np.intp]) -> dict[str, float]:
    """
    Return hit@1 and nDCG@10 of ranking all passages by cosine for each question.

    Exactly one passage is relevant to a question, so the ideal DCG is 1 (Järvelin & Kekäläinen 2002).
    """
    scores = questions @ passages.T
    rank = (scores > scores[np.arange(len(answers)), answers][:, None]).sum(axis=1)
    gain = np.where(rank < 10, 1 / np.log2(rank + 2), 0)
    return {"hit_at_1": float((rank == 0).mean()), "ndcg_at_10": float(gain.mean())}
