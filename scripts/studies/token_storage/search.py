"""A corpus, encoded once and searched exactly: the candidates and scores that all variants share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress
from scipy.sparse import csr_array

from bench import datasets, paths
from bench.datasets import Corpus, Question
from bench.retrieval.evaluation import gains
from bench.retrieval.gateway import draw_questions
from gateways.core.backend import F32, SparseVector
from gateways.core.models import catalog
from gateways.core.scoring import bm25, fusion, late_interaction
from gateways.core.scoring.vectors import normalize
from gateways.core.settings import ModelSettings
from gateways.core.stores.base import FUSION_DEPTH
from gateways.onnx_py import runtime as onnx_py
from gateways.onnx_py.dense import OnnxDense
from scripts.studies.token_storage.variants import COMMONEST, NOTHING, PUNCTUATION

F16 = NDArray[np.float16]
F64 = NDArray[np.float64]
Ints = NDArray[np.intp]
BATCH, SEED = 16, 7
# A gateway reranks CANDIDATES passages: the best of two rankings of length FUSION_DEPTH by reciprocal rank fusion.
CANDIDATES = 20
KINDS = frozenset({"dense", "sparse", "late"})
COMMON = 100  # number of token ids: about the length of a list of stop words, but for any language


@dataclass(frozen=True)
class EncodedTexts:
    """n texts: unit vectors (n, d), and for each text the ids (t,) and unit vectors (t, d) of its own tokens."""

    dense: F32
    ids: list[Ints]
    tokens: list[F16]


def load_model() -> OnnxDense:
    """Return the fp32 graph of the harness's model, on one thread. Raises CatalogError if it is not exported."""
    settings = ModelSettings(models_dir=paths.models_dir(), precision="fp32", device="cpu", threads=1)
    models = catalog.load(paths.ROOT / settings.models_file)
    return cast(OnnxDense, onnx_py.load(onnx_py.locate(paths.MODEL, models, settings), settings))


def encode(model: OnnxDense, texts: Sequence[str], side: str, advance: Callable[[int], None]) -> EncodedTexts:
    """Encode texts with the prompt of `side` (query or document), longest first. `advance` gets the texts done."""
    prompt = dict(model.info.prompts)[side]
    batch = model.texts.tokenize([prompt + text for text in texts], "END")
    order = sorted(range(len(batch)), key=lambda i: -len(batch[i]))
    encoded: dict[int, tuple[F32, F16]] = {}
    for start in range(0, len(order), BATCH):
        indices = order[start : start + BATCH]
        vectors = model.encode_with_tokens([batch[i] for i in indices])
        for i, (vector, tokens) in zip(indices, vectors, strict=True):
            encoded[i] = vector, tokens.astype(np.float16)
        advance(len(indices))
    ids = [late_interaction.inner(cast(Any, np.array(row)), model.info.frame) for row in batch]
    dense = normalize(np.stack([encoded[i][0] for i in range(len(batch))]))
    return EncodedTexts(dense, cast(list[Ints], ids), [encoded[i][1] for i in range(len(batch))])


def bm25_scores(questions: Sequence[str], passages: Sequence[str]) -> F32:
    """
    Return the BM25 scores of q questions and p passages, (q, p), as the gateways and their store compute them.

    The IDF is Qdrant's: ln((N - n + 0.5) / (n + 0.5) + 1) for a term in n of N passages.
    """
    rows = bm25.embed(passages, query=False).rows
    terms = np.unique(np.concatenate([row.indices for row in rows]))
    weights = _make_matrix(rows, terms)
    document_counts = np.bincount(weights.indices, minlength=len(terms))
    idf = np.log1p((len(passages) - document_counts + 0.5) / (document_counts + 0.5))
    queries = _make_matrix(bm25.embed(questions, query=True).rows, terms)
    scores: F32 = (queries.multiply(idf[None]).tocsr() @ weights.T).toarray().astype(np.float32)
    return scores


def _make_matrix(rows: Sequence[SparseVector], terms: NDArray[np.uint32]) -> Any:
    """Return the rows as a CSR matrix (n, terms), without entries that are not in `terms`."""
    masks = [np.isin(row.indices, terms) for row in rows]
    values = np.concatenate([row.values[mask] for row, mask in zip(rows, masks, strict=True)])
    columns = [np.searchsorted(terms, row.indices[mask]) for row, mask in zip(rows, masks, strict=True)]
    starts = np.cumsum([0, *map(len, columns)])
    return csr_array((values, np.concatenate(columns), starts), shape=(len(rows), len(terms)))


def select_candidates(dense: F32, sparse: F32) -> Ints:
    """
    Return the passages to rerank, best first, (at most CANDIDATES,), from scores of p passages, (p,) each.

    A passage without a word of the question has no rank in the sparse ranking.
    """
    fused = np.zeros(len(dense))
    for scores, minimum in ((dense, -np.inf), (sparse, 0.0)):
        ranking = np.argsort(-scores, kind="stable")[:FUSION_DEPTH]
        ranking = ranking[scores[ranking] > minimum]
        fused[ranking] += 1 / (fusion.RRF_K + 1 + np.arange(len(ranking)))
    best = np.argsort(-fused, kind="stable")[:CANDIDATES]
    return best[fused[best] > 0]


def find_prunable_ids(model: OnnxDense, corpus: Corpus, passages: EncodedTexts) -> dict[str, Ints]:
    """Return the token ids that each kind of pruning drops. The most common ids do not include punctuation."""
    tokens = (token for row in model.texts.tokens(list(corpus.passages.values())) for token in row)
    punctuation = np.array(sorted({token.id for token in tokens if not any(map(str.isalnum, token.text))}), np.intp)
    ids, counts = np.unique(np.concatenate(passages.ids), return_counts=True)
    is_word = ~np.isin(ids, punctuation)
    common = ids[is_word][np.argsort(-counts[is_word], kind="stable")[:COMMON]]
    return {
        NOTHING: np.array([], np.intp),
        PUNCTUATION: punctuation,
        COMMONEST: np.concatenate([punctuation, common]),
    }


def prune_and_pool(rows: F16, ids: Ints, prunable_ids: Ints, pooled: int) -> F32:
    """
    Drop the vectors of prunable ids, then replace each `pooled` neighbours by the unit vector of their sum.

    (t, d), (t,) -> (at most ceil(t / pooled), d). A text with only prunable ids keeps all of its tokens.
    """
    keep = ~np.isin(ids, prunable_ids)
    vectors = (rows[keep] if keep.any() else rows).astype(np.float32)
    return normalize(np.add.reduceat(vectors, np.arange(0, len(vectors), pooled), axis=0))


@dataclass(frozen=True)
class SearchedCorpus:
    """A corpus and everything that the variants share. `dense` and `sparse` are the scores of `candidates`."""

    corpus: Corpus
    questions: Sequence[Question]
    passages: EncodedTexts
    queries: EncodedTexts
    candidates: list[Ints]
    dense: list[F32]
    sparse: list[F32]
    prunable_ids: dict[str, Ints]
    weights: fusion.Weights | None


def prepare(model: OnnxDense, name: str, max_questions: int, progress: Progress) -> SearchedCorpus:
    """Read and encode a corpus, and search it exactly by vectors and by BM25. Raises CorpusError."""
    corpus = datasets.load(name)
    texts, questions = list(corpus.passages.values()), draw_questions(corpus, max_questions, SEED)
    query_texts = [question.text for question in questions]
    task = progress.add_task(f"{corpus.name}: encoding", total=len(texts) + len(questions))
    passages = encode(model, texts, "document", lambda count: progress.advance(task, count))
    queries = encode(model, query_texts, "query", lambda count: progress.advance(task, count))
    dense, sparse = queries.dense @ passages.dense.T, bm25_scores(query_texts, texts)
    candidates = [select_candidates(*rows) for rows in zip(dense, sparse, strict=True)]
    return SearchedCorpus(
        corpus,
        questions,
        passages,
        queries,
        candidates,
        [row[indices] for row, indices in zip(dense, candidates, strict=True)],
        [row[indices] for row, indices in zip(sparse, candidates, strict=True)],
        find_prunable_ids(model, corpus, passages),
        fusion.weights(None, model.info.id, KINDS),
    )


def measure_gains(searched: SearchedCorpus, late_scores: Sequence[F32]) -> tuple[F64, F64]:
    """Return nDCG@10 of each question, (q,): by late interaction alone, and fused with dense and sparse scores."""
    names = list(searched.corpus.passages)
    late_rankings: list[list[str]] = []
    fused_rankings: list[list[str]] = []
    results = zip(searched.candidates, searched.dense, searched.sparse, late_scores, strict=True)
    for candidates, dense, sparse, late in results:
        fused = fusion.fuse({"dense": dense, "sparse": sparse, "late": late}, searched.weights)
        late_rankings.append([names[i] for i in candidates[np.argsort(-late, kind="stable")]])
        fused_rankings.append([names[i] for i in candidates[np.argsort(-fused, kind="stable")]])
    return gains(late_rankings, searched.questions), gains(fused_rankings, searched.questions)
