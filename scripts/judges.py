"""What a graph must reach to be written: judged against sentence-transformers, alone and in batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnxruntime import InferenceSession
from parity import (
    F32,
    SearchTexts,
    batches,
    cosines,
    embed,
    open_session,
    parity_texts,
    read_tokenizer,
    search_quality,
)
from sentence_transformers import CrossEncoder, SentenceTransformer, SparseEncoder
from sentence_transformers.models import Pooling, Transformer
from tokenizers import Tokenizer

from gateways.core.catalog import Entry

# Search quality is the loss allowed against fp32, in parts of one.
LEAST_COSINE = {"fp32": {"mean": 0.999999, "min": 0.999999}, "int8": {"mean": 0.99, "min": 0.95}}
LEAST_COSINE_ALONE = {"fp32": 0.99999, "int8": 0.999}
MOST_QUALITY_LOST = 0.01
# Of a weight of the vocabulary, and of a logit.
MOST_DIFFERENCE = {"sparse": 1e-3, "rerank": 1e-3}
Verdict = tuple[dict[str, Any], list[str]]


def pooled_as(folder: Path, pooling: str | None) -> SentenceTransformer:
    """sentence-transformers' own model; with a pooling that the catalogue says in place of the model's files."""
    options: dict[str, Any] = {"device": "cpu", "model_kwargs": {"dtype": torch.float32}}
    if pooling is None:
        return SentenceTransformer(str(folder), **options)
    encoder = Transformer(str(folder), model_kwargs=options["model_kwargs"])
    mode = {"last": "lasttoken"}.get(pooling, pooling)
    return SentenceTransformer(modules=[encoder, Pooling(encoder.get_embedding_dimension(), mode)], device="cpu")


def reference_vectors(folder: Path, entry: Entry, max_input_tokens: int, texts: list[str]) -> F32:
    """What sentence-transformers itself answers: float32 (n, dimensions), unit vectors."""
    model = pooled_as(folder, entry.pooling)
    model.max_seq_length = max_input_tokens
    vectors: F32 = model.encode([text.strip() for text in texts], batch_size=16, normalize_embeddings=True)
    return vectors


def judge_dense(graph: Path, precision: str, tokenizer: Tokenizer, sample: list[str], reference: F32) -> Verdict:
    """Compare a dense graph's vectors of the sample with sentence-transformers' own, the reference."""
    session = open_session(graph)
    found = embed(session, tokenizer, sample)
    parity = {"reference": cosines(found, reference), "alone": cosines(found, embed(session, tokenizer, sample, 1))}
    faults = [
        f"{precision}: {which} cosine to the reference {parity['reference'][which]:.8f} < {least}"
        for which, least in LEAST_COSINE[precision].items()
        if not parity["reference"][which] >= least
    ]
    if not parity["alone"]["min"] >= LEAST_COSINE_ALONE[precision]:
        faults.append(f"{precision}: a text alone and in a batch differ: cosine {parity['alone']['min']:.8f}")
    return {"parity": parity}, faults


def searched(graph: Path, texts: SearchTexts, tokenizer: Tokenizer) -> dict[str, float]:
    """The search quality of a graph's vectors."""
    session = open_session(graph)
    passages, questions = (embed(session, tokenizer, these) for these in (texts.passages, texts.questions))
    return search_quality(passages, questions, texts.answers)


def quality_lost(graphs: dict[str, Any]) -> list[str]:
    """What int8 loses of fp32's search quality, where that is more than may be lost."""
    return [
        f"int8: {name} {graphs['int8']['search'][name]:.4f} is over {MOST_QUALITY_LOST} below fp32's {value:.4f}"
        for name, value in graphs["fp32"]["search"].items()
        if not graphs["int8"]["search"][name] >= value - MOST_QUALITY_LOST
    ]


def judge_sparse(graph: Path, folder: Path, max_input_tokens: int, texts: SearchTexts) -> Verdict:
    """Compare a sparse graph's weights with SparseEncoder.encode."""
    sample = parity_texts(texts, 16)
    model = SparseEncoder(str(folder), device="cpu", model_kwargs={"dtype": torch.float32})
    model.max_seq_length = max_input_tokens
    reference = model.encode(sample, batch_size=8, convert_to_sparse_tensor=False).numpy()
    tokenizer = read_tokenizer(folder, max_input_tokens)
    rows = [(encoding.ids, encoding.type_ids) for encoding in tokenizer.encode_batch(sample)]
    return compared("sparse", open_session(graph), "sparse_embedding", rows, reference)


def judge_rerank(graph: Path, folder: Path, max_input_tokens: int, texts: SearchTexts) -> Verdict:
    """Compare a cross-encoder's graph with CrossEncoder.predict, before any activation."""
    documents = parity_texts(texts, 16)
    pairs = list(zip([*texts.questions[1 : len(documents)], texts.passages[0]], documents, strict=True))
    model = CrossEncoder(str(folder), device="cpu", model_kwargs={"dtype": torch.float32})
    model.max_seq_length = max_input_tokens
    reference = model.predict(pairs, batch_size=8, activation_fn=torch.nn.Identity())[:, None]
    tokenizer = read_tokenizer(folder, max_input_tokens)
    rows = [(encoding.ids, encoding.type_ids) for encoding in tokenizer.encode_batch(pairs)]
    return compared("rerank", open_session(graph), "logits", rows, reference)


def compared(
    kind: str, session: InferenceSession, output: str, rows: list[tuple[list[int], list[int]]], reference: F32
) -> Verdict:
    """Measure the greatest difference to the reference, and of a row alone to the same in a batch."""
    batched, alone = (run(session, output, rows, size) for size in (8, 1))
    differences = {
        "reference": float(np.abs(batched - reference).max()),
        "alone": float(np.abs(batched - alone).max()),
    }
    most = MOST_DIFFERENCE[kind]
    faults = [
        f"fp32: differs by {value:.2e} at most from {'the reference' if which == 'reference' else 'itself alone'}, "
        f"and may by {most}"
        for which, value in differences.items()
        if not value <= most
    ]
    return {"parity": {which: {"most_difference": value} for which, value in differences.items()}}, faults


def run(session: InferenceSession, output: str, rows: list[tuple[list[int], list[int]]], size: int) -> F32:
    """One output for token rows, in batches of that size, in the order given: (n, ...)."""
    typed = any(given.name == "token_type_ids" for given in session.get_inputs())
    found: list[F32] = [np.empty(0, np.float32)] * len(rows)
    for chosen, ids, mask in batches([ids for ids, _ in rows], size):
        feeds = {"input_ids": ids, "attention_mask": mask}
        if typed:
            types = np.zeros_like(ids)
            for at, row in enumerate(chosen):
                types[at, : len(rows[row][1])] = rows[row][1]
            feeds["token_type_ids"] = types
        for row, values in zip(chosen, session.run([output], feeds)[0], strict=True):
            found[row] = values
    return np.stack(found)
