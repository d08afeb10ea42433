"""
What the stored vectors of tokens cost and find: pooled, pruned and in fewer bits, by the engine that gateways embed.

    python -m scripts.late_storage --corpus squad --beir <folder> <folder> --questions 600 --out <folder>

Every corpus is encoded once by the fp32 graph; every variant is a shard of its own that scores the same candidates.
Binary and 1-bit codes lie beside the vectors they were made of: no setting of the engine keeps the codes alone.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import qdrant_edge as qdrant
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from scipy.sparse import csr_array

from bench import datasets, paths
from bench.datasets import Corpus, Question
from bench.errors import BenchError
from bench.retrieval.measured import gains, interval
from bench.retrieval.served import draw
from bench.retrieval.storage import (
    BINARY,
    COMMONEST,
    NO_CODES,
    NOTHING,
    ONE_BIT,
    PUNCTUATION,
    RESCORED,
    TOLERATED_POINTS,
    VARIANTS,
    Row,
    Variant,
    plot,
    smallest,
    table,
)
from gateways.core import bm25, catalog, fusion, late
from gateways.core.backend import F32, SparseVector
from gateways.core.catalog import CatalogError
from gateways.core.settings import Settings
from gateways.core.stores.base import FUSED
from gateways.core.vectors import normalize
from gateways.onnx_py import model as onnx_py
from gateways.onnx_py.dense import OnnxDense

F16 = NDArray[np.float16]
F64 = NDArray[np.float64]
Ints = NDArray[np.intp]
BATCH, SEED = 16, 7
# What a gateway reranks: so many passages, the best by reciprocal ranks in two rankings of FUSED each.
CANDIDATES = 20
KINDS = frozenset({"dense", "sparse", "late"})
COMMON = 100  # token ids: about the size of a list of stop words, but of any language
LATE = "late"
# Each question is scored so often, and the fastest counts: other work on the machine only ever adds.
REPEATS = 3


@dataclass(frozen=True)
class Encoded:
    """n texts: unit vectors (n, d), and of each its own token ids (t,) with their unit vectors (t, d)."""

    dense: F32
    ids: list[Ints]
    tokens: list[F16]


def load_model() -> OnnxDense:
    """The fp32 graph of the harness's model, on one thread; raises CatalogError where it is not exported."""
    settings = Settings(models_dir=paths.models_dir(), precision="fp32", device="cpu", threads=1)
    models = catalog.load(paths.ROOT / settings.models_file)
    return cast(OnnxDense, onnx_py.load(onnx_py.locate(paths.MODEL, models, settings), settings))


def encode(model: OnnxDense, texts: Sequence[str], side: str, advance: Callable[[int], None]) -> Encoded:
    """Encode texts with the prompt of a side, longest first."""
    prompt = dict(model.info.prompts)[side]
    batch = model.texts.tokenize([prompt + text for text in texts], "END")
    order = sorted(range(len(batch)), key=lambda i: -len(batch[i]))
    found: dict[int, tuple[F32, F16]] = {}
    for at in range(0, len(order), BATCH):
        some = order[at : at + BATCH]
        for i, (vector, tokens) in zip(some, model.encode_with_tokens([batch[i] for i in some]), strict=True):
            found[i] = vector, tokens.astype(np.float16)
        advance(len(some))
    ids = [late.inner(cast(Any, np.array(row)), model.info.frame) for row in batch]
    dense = normalize(np.stack([found[i][0] for i in range(len(batch))]))
    return Encoded(dense, cast(list[Ints], ids), [found[i][1] for i in range(len(batch))])


def sparse_scores(questions: Sequence[str], passages: Sequence[str]) -> F32:
    """
    BM25 of q questions for p passages, (q, p), as the gateways and their store make it.

    The IDF is Qdrant's: ln((N - n + 0.5) / (n + 0.5) + 1) for a term in n of N passages.
    """
    rows = bm25.embed(passages, query=False).rows
    terms = np.unique(np.concatenate([row.indices for row in rows]))
    weights = _matrix(rows, terms)
    holding = np.bincount(weights.indices, minlength=len(terms))
    idf = np.log1p((len(passages) - holding + 0.5) / (holding + 0.5))
    asked = _matrix(bm25.embed(questions, query=True).rows, terms)
    scores: F32 = (asked.multiply(idf[None]).tocsr() @ weights.T).toarray().astype(np.float32)
    return scores


def _matrix(rows: Sequence[SparseVector], terms: NDArray[np.uint32]) -> Any:
    """The rows by term, (n, terms), what is none of the terms left out."""
    known = [np.isin(row.indices, terms) for row in rows]
    values = np.concatenate([row.values[keep] for row, keep in zip(rows, known, strict=True)])
    places = [np.searchsorted(terms, row.indices[keep]) for row, keep in zip(rows, known, strict=True)]
    starts = np.cumsum([0, *map(len, places)])
    return csr_array((values, np.concatenate(places), starts), shape=(len(rows), len(terms)))


def candidates(dense: F32, sparse: F32) -> Ints:
    """The passages that are reranked, best first: (p,), (p,) -> (at most CANDIDATES,); no word in common, no rank."""
    fused = np.zeros(len(dense))
    for scores, least in ((dense, -np.inf), (sparse, 0.0)):
        ranking = np.argsort(-scores, kind="stable")[:FUSED]
        ranking = ranking[scores[ranking] > least]
        fused[ranking] += 1 / (fusion.RRF_K + 1 + np.arange(len(ranking)))
    best = np.argsort(-fused, kind="stable")[:CANDIDATES]
    return best[fused[best] > 0]


def droppable(model: OnnxDense, corpus: Corpus, passages: Encoded) -> dict[str, Ints]:
    """The token ids that each kind of pruning leaves out; the common ones are counted without punctuation."""
    tokens = (token for row in model.texts.tokens(list(corpus.passages.values())) for token in row)
    marks = np.array(sorted({token.id for token in tokens if not any(map(str.isalnum, token.text))}), np.intp)
    seen, counts = np.unique(np.concatenate(passages.ids), return_counts=True)
    spoken = ~np.isin(seen, marks)
    common = seen[spoken][np.argsort(-counts[spoken], kind="stable")[:COMMON]]
    return {NOTHING: np.array([], np.intp), PUNCTUATION: marks, COMMONEST: np.concatenate([marks, common])}


def reduced(rows: F16, ids: Ints, dropped: Ints, pooled: int) -> F32:
    """
    Leave tokens out, then let neighbours share a vector: (t, d), (t,) -> (at most ceil(t / pooled), d) unit vectors.

    A text of nothing but what would be dropped keeps all of it.
    """
    keep = ~np.isin(ids, dropped)
    left = (rows[keep] if keep.any() else rows).astype(np.float32)
    return normalize(np.add.reduceat(left, np.arange(0, len(left), pooled), axis=0))


def build(folder: Path, variant: Variant, vectors: Sequence[F32]) -> qdrant.EdgeShard:
    """A shard of these multivectors as the gateways' store would make it, flushed; a point's id is its number."""
    codes: dict[str, Any] = {
        NO_CODES: None,
        ONE_BIT: qdrant.TurboQuantQuantizationConfig(bits=qdrant.TurboQuantBitSize.Bits1),
    }
    params = qdrant.EdgeVectorParams(
        vectors[0].shape[1],
        qdrant.Distance.Dot,
        multivector_config=qdrant.MultiVectorConfig(qdrant.MultiVectorComparator.MaxSim),
        datatype=getattr(qdrant.VectorStorageDatatype, variant.datatype),
        quantization_config=codes.get(variant.codes, qdrant.BinaryQuantizationConfig()),
        memory=qdrant.Memory.Cold,
    )
    config = qdrant.EdgeConfig(vectors={LATE: params}, max_search_threads=1, wal_enabled=False)
    shard = qdrant.EdgeShard.create(str(folder), config)
    points = [qdrant.Point(number, cast(Any, {LATE: rows}), {}) for number, rows in enumerate(vectors)]
    for at in range(0, len(points), BATCH * 16):
        shard.update(qdrant.UpdateOperation.upsert_points(points[at : at + BATCH * 16]))
    shard.flush()
    return shard


def stored_bytes(folder: Path) -> tuple[int, int]:
    """Bytes on disk of the late vectors, and of their codes among these; what was only reserved does not count."""
    files = [file for one in folder.rglob(f"vector_*-{LATE}") for file in one.rglob("*") if file.is_file()]
    sizes = {file: file.stat().st_blocks * 512 for file in files}
    codes = (size for file, size in sizes.items() if "quantized" in str(file.relative_to(folder)))
    return sum(sizes.values()), sum(codes)


def score(shard: qdrant.EdgeShard, variant: Variant, asked: F32, among: Ints) -> tuple[F32, float]:
    """The mean over a question's tokens (t, d) of their greatest cosines in each passage (n,), and the ms it took."""
    quantised = qdrant.QuantizationSearchParams(rescore=variant.codes == RESCORED)
    request = qdrant.QueryRequest(
        limit=len(among),
        query=qdrant.Query.Nearest(cast(Any, asked / np.float32(len(asked))), using=LATE),
        filter=qdrant.Filter(must=[qdrant.HasIdCondition(set(among.tolist()))]),
        params=qdrant.SearchParams(quantization=quantised),
    )
    took_ms = []
    for _ in range(REPEATS):
        started_s = time.perf_counter()
        points = shard.query(request)
        took_ms.append((time.perf_counter() - started_s) * 1e3)
    found = {point.id: point.score for point in points}
    scores = np.array([found[number] for number in among.tolist()], np.float32)
    return cosines(scores, *asked.shape) if variant.codes == BINARY else scores, min(took_ms)


def cosines(agreeing: F32, tokens: int, dimensions: int) -> F32:
    """
    The cosine that binary scores speak for, (n,): sums over the tokens of signs that agree less those that do not.

    Of vectors at an angle a, a share a / pi of random signs differs (Charikar 2002), which makes cos a sin(pi s / 2).
    """
    found: F32 = np.sin(np.pi / 2 * agreeing / (tokens * dimensions)).astype(np.float32)
    return found


@dataclass(frozen=True)
class Searched:
    """A corpus and all that variants share; of each question its candidates and their scores by both searches."""

    corpus: Corpus
    questions: Sequence[Question]
    passages: Encoded
    asked: Encoded
    among: list[Ints]
    dense: list[F32]
    sparse: list[F32]
    dropped: dict[str, Ints]
    weights: fusion.Weights | None


def prepare(model: OnnxDense, name: str, most: int, progress: Progress) -> Searched:
    """Read and encode a corpus, and search it exactly, by vectors and by words; raises CorpusError."""
    corpus = datasets.load(name)
    texts, questions = list(corpus.passages.values()), draw(corpus, most, SEED)
    asked_texts = [question.text for question in questions]
    task = progress.add_task(f"{corpus.name}: encoding", total=len(texts) + len(questions))
    passages = encode(model, texts, "document", lambda done: progress.advance(task, done))
    asked = encode(model, asked_texts, "query", lambda done: progress.advance(task, done))
    dense, sparse = asked.dense @ passages.dense.T, sparse_scores(asked_texts, texts)
    among = [candidates(*rows) for rows in zip(dense, sparse, strict=True)]
    return Searched(
        corpus,
        questions,
        passages,
        asked,
        among,
        [row[some] for row, some in zip(dense, among, strict=True)],
        [row[some] for row, some in zip(sparse, among, strict=True)],
        droppable(model, corpus, passages),
        fusion.weights(None, model.info.id, KINDS),
    )


def measure(its: Searched, progress: Progress) -> Iterator[Row]:
    """A row for each variant, UNCOMPRESSED first: it is what the others' gains are compared with."""
    task = progress.add_task(f"{its.corpus.name}: variants", total=len(VARIANTS))
    count = len(its.corpus.passages)
    uncompressed: F64 | None = None
    for variant in VARIANTS:
        vectors, stored, codes, scored = _of_engine(its, variant)
        alone, fused = _gains(its, [scores for scores, _ in scored])
        uncompressed = fused if uncompressed is None else uncompressed
        lost = 100 * (uncompressed - fused)
        low, high = interval(lost)
        yield Row(
            corpus=its.corpus.name,
            passages=count,
            questions=len(its.questions),
            **asdict(variant),
            vectors_per_passage=vectors / count,
            stored_kb_per_passage=stored / count / 1000,
            read_kb_per_passage=(codes if variant.codes in (BINARY, ONE_BIT) else stored) / count / 1000,
            scoring_p50_ms=float(np.median([took_ms for _, took_ms in scored])),
            late_ndcg10=float(alone.mean()),
            fused_ndcg10=float(fused.mean()),
            lost_points=float(lost.mean()),
            lost_points_low=low,
            lost_points_high=high,
        )
        progress.advance(task)


def _of_engine(its: Searched, variant: Variant) -> tuple[int, int, int, list[tuple[F32, float]]]:
    """How many vectors there are, their bytes, those of codes among these, and of each question scores and ms."""
    passages = zip(its.passages.tokens, its.passages.ids, strict=True)
    vectors = [reduced(rows, ids, its.dropped[variant.pruned], variant.pooled) for rows, ids in passages]
    with tempfile.TemporaryDirectory() as folder:
        shard = build(Path(folder), variant, vectors)
        asked = zip(its.asked.tokens, its.among, strict=True)
        scored = [score(shard, variant, rows.astype(np.float32), among) for rows, among in asked]
        shard.close()
        return sum(map(len, vectors)), *stored_bytes(Path(folder)), scored


def _gains(its: Searched, late_scores: Sequence[F32]) -> tuple[F64, F64]:
    """nDCG@10 of each question, (q,), by late interaction alone, and fused with the scores it was retrieved by."""
    names = list(its.corpus.passages)
    alone: list[list[str]] = []
    fused: list[list[str]] = []
    for among, dense, sparse, scores in zip(its.among, its.dense, its.sparse, late_scores, strict=True):
        together = fusion.fuse({"dense": dense, "sparse": sparse, "late": scores}, its.weights)
        alone.append([names[i] for i in among[np.argsort(-scores, kind="stable")]])
        fused.append([names[i] for i in among[np.argsort(-together, kind="stable")]])
    return gains(alone, its.questions), gains(fused, its.questions)


def run(names: Sequence[str], most: int, out: Path, console: Console) -> None:
    """Measure every corpus, and write `storage.csv` and `storage.png` into a folder."""
    rows: list[Row] = []
    model = load_model()
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        with Progress(console=console) as progress:
            made = list(measure(prepare(model, name, most, progress), progress))
        console.print(table(made))
        rows += made
        frame = pd.DataFrame(map(asdict, rows))
        frame.to_csv(out / "storage.csv", index=False, float_format="%.6g", lineterminator="\n")
    plot(out / "storage.png", rows)
    on_every, on_mean = smallest(rows, max), smallest(rows, lambda lost: float(np.mean(lost)))
    console.print(f"smallest within {TOLERATED_POINTS} points on every corpus: {on_every.name}", highlight=False)
    console.print(f"smallest within {TOLERATED_POINTS} points on their mean: {on_mean.name}", highlight=False)
    console.print(f"written: {out / 'storage.csv'}, storage.png", highlight=False)


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line; with neither corpus nor folders it is SQuAD."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", action="append", default=[], help="squad, a BEIR folder or a .jsonl file")
    parser.add_argument("--beir", nargs="+", default=[], metavar="FOLDER", help="BEIR folders")
    parser.add_argument("--questions", type=int, default=600, help="at most so many of each corpus")
    parser.add_argument("--out", type=Path, default=paths.CACHE / "late-storage", help="folder of the results")
    arguments = parser.parse_args(argv)
    try:
        run([*arguments.corpus, *arguments.beir] or ["squad"], arguments.questions, arguments.out, Console())
    except (BenchError, CatalogError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
