"""Acceptance thresholds of a graph: parity with sentence-transformers, for single texts and for batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnxruntime import InferenceSession
from sentence_transformers import CrossEncoder, SentenceTransformer, SparseEncoder
from sentence_transformers.models import Pooling, Transformer
from tokenizers import Tokenizer

from gateways.core.models.catalog import Entry
from scripts.models.parity import (
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

MIN_COSINE = {"fp32": {"mean": 0.999999, "min": 0.999999}, "int8": {"mean": 0.99, "min": 0.95}}
MIN_COSINE_ALONE = {"fp32": 0.99999, "int8": 0.999}
# Maximum loss of int8 against fp32 in hit@1 and in nDCG@10, both 0..1.
MAX_QUALITY_LOSS = 0.01
# Maximum absolute difference of a vocabulary weight, and of a logit.
MAX_DIFFERENCE = {"sparse": 1e-3, "rerank": 1e-3}
# The measurements for export.json, and the thresholds missed, one sentence each.
Verdict = tuple[dict[str, Any], list[str]]


def load_reference(folder: Path, pooling: str | None) -> SentenceTransformer:
    """Load the model with sentence-transformers. `pooling` replaces the pooling of the model's files if it is set."""
    options: dict[str, Any] = {"device": "cpu", "model_kwargs": {"dtype": torch.float32}}
    if pooling is None:
        return SentenceTransformer(str(folder), **options)
    encoder = Transformer(str(folder), model_kwargs=options["model_kwargs"])
    mode = {"last": "lasttoken"}.get(pooling, pooling)
    return SentenceTransformer(modules=[encoder, Pooling(encoder.get_embedding_dimension(), mode)], device="cpu")


def encode_reference(folder: Path, entry: Entry, max_input_tokens: int, texts: list[str]) -> F32:
    """Return sentence-transformers' unit vectors of the texts, float32 (n, dimensions)."""
    model = load_reference(folder, entry.pooling)
    model.max_seq_length = max_input_tokens
    vectors: F32 = model.encode([text.strip() for text in texts], batch_size=16, normalize_embeddings=True)
    return vectors


def judge_dense(graph: Path, precision: str, tokenizer: Tokenizer, sample: list[str], reference: F32) -> Verdict:
    """Compare the graph's vectors of the sample with `reference`, and of a text alone with the text in a batch."""
    session = open_session(graph)
    vectors = embed(session, tokenizer, sample)
    parity = {
        "reference": cosines(vectors, reference),
        "alone": cosines(vectors, embed(session, tokenizer, sample, 1)),
    }
    faults = [
        f"{precision}: {statistic} cosine to the reference {parity['reference'][statistic]:.8f} < {minimum}"
        for statistic, minimum in MIN_COSINE[precision].items()
        if not parity["reference"][statistic] >= minimum
    ]
    if not parity["alone"]["min"] >= MIN_COSINE_ALONE[precision]:
        faults.append(f"{precision}: a text alone and in a batch differ: cosine {parity['alone']['min']:.8f}")
    return {"parity": parity}, faults


def measure_search(graph: Path, texts: SearchTexts, tokenizer: Tokenizer) -> dict[str, float]:
    """Return hit@1 and nDCG@10 of search with the graph's vectors."""
    session = open_session(graph)
    passages, questions = (embed(session, tokenizer, batch) for batch in (texts.passages, texts.questions))
    return search_quality(passages, questions, texts.answers)


def find_quality_losses(graphs: dict[str, Any]) -> list[str]:
    """Return a sentence for each search metric in which int8 is over MAX_QUALITY_LOSS below fp32."""
    return [
        f"int8: {name} {graphs['int8']['search'][name]:.4f} is over {MAX_QUALITY_LOSS} below fp32's {value:.4f}"
        for name, value in graphs["fp32"]["search"].items()
        if not graphs["int8"]["search"][name] >= value - MAX_QUALITY_LOSS
    ]


def judge_sparse(graph: Path, folder: Path, max_input_tokens: int, texts: SearchTexts) -> Verdict:
    """Compare a sparse graph's weights with those of SparseEncoder.encode."""
    sample = parity_texts(texts, 16)
    model = SparseEncoder(str(folder), device="cpu", model_kwargs={"dtype": torch.float32})
    model.max_seq_length = max_input_tokens
    reference = model.encode(sample, batch_size=8, convert_to_sparse_tensor=False).numpy()
    tokenizer = read_tokenizer(folder, max_input_tokens)
    rows = [(encoding.ids, encoding.type_ids) for encoding in tokenizer.encode_batch(sample)]
    return compare_outputs("sparse", open_session(graph), "sparse_embedding", rows, reference)


def judge_rerank(graph: Path, folder: Path, max_input_tokens: int, texts: SearchTexts) -> Verdict:
    """Compare a cross-encoder graph's logits with those of CrossEncoder.predict."""
    documents = parity_texts(texts, 16)
    pairs = list(zip([*texts.questions[1 : len(documents)], texts.passages[0]], documents, strict=True))
    model = CrossEncoder(str(folder), device="cpu", model_kwargs={"dtype": torch.float32})
    model.max_seq_length = max_input_tokens
    reference = model.predict(pairs, batch_size=8, activation_fn=torch.nn.Identity())[:, None]
    tokenizer = read_tokenizer(folder, max_input_tokens)
    rows = [(encoding.ids, encoding.type_ids) for encoding in tokenizer.encode_batch(pairs)]
    return compare_outputs("rerank", open_session(graph), "logits", rows, reference)


def compare_outputs(
    kind: str, session: InferenceSession, output: str, rows: list[tuple[list[int], list[int]]], reference: F32
) -> Verdict:
    """Measure the greatest difference of batches of 8 to the reference, and to the same rows one by one."""
    batched, alone = (run_batches(session, output, rows, size) for size in (8, 1))
    differences = {
        "reference": float(np.abs(batched - reference).max()),
        "alone": float(np.abs(batched - alone).max()),
    }
    limit = MAX_DIFFERENCE[kind]
    faults = [
        f"fp32: the greatest difference to {'the reference' if name == 'reference' else 'the same row alone'} "
        f"is {value:.2e}; the limit is {limit}"
        for name, value in differences.items()
        if not value <= limit
    ]
    return {"parity": {name: {"most_difference": value} for name, value in differences.items()}}, faults


def run_batches(session: InferenceSession, output: str, rows: list[tuple[list[int], list[int]]], size: int) -> F32:
    """Return the graph output `output` of rows (ids, type ids), run in batches of `size`, in row order: (n, ...)."""
    takes_types = any(tensor.name == "token_type_ids" for tensor in session.get_inputs())
    outputs: list[F32] = [np.empty(0, np.float32)] * len(rows)
    for indices, ids, mask in batches([ids for ids, _ in rows], size):
        feeds = {"input_ids": ids, "attention_mask": mask}
        if takes_types:
            types = np.zeros_like(ids)
            for position, row in enumerate(indices):
                types[position, : len(rows[row][1])] = rows[row][1]
            feeds["token_type_ids"] = types
        for row, values in zip(indices, session.run([output], feeds)[0], strict=True):
            outputs[row] = values
    return np.stack(outputs)
