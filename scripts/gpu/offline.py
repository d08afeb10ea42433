"""
Measure bulk embedding on one GPU, and the agreement of half precision with fp32.

    python -m scripts.gpu.offline --out <folder>

`offline.csv` has the texts per second for chunks of about 256 tokens, in three ways. "gateway" is the torch gateway's
backend, with tokenisation, queue and batching. "sentence-transformers" is `SentenceTransformer.encode` at its best
batch size. "model alone" runs batches that were tokenised and planned in advance; it is the upper limit.
`agreement.csv` compares the vectors of SQuAD's passages and their search quality with fp32 on the CPU. `--device` can
be any device of torch, a CPU too.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from bench.arrays import F32
from bench.datasets import squad
from bench.datasets.lengths import CHUNK, Words
from bench.verification import ranking_metrics, reference
from bench.verification.agreement import cosines
from bench.verification.reference import Reference
from gateways.core.backend import EncodeOptions
from gateways.core.inference.batch_planner import plan
from gateways.core.inference.local_backend import GPU_THREADS, LocalBackend
from gateways.core.inference.pass_cost import tune
from gateways.core.models import catalog
from gateways.core.models.runtime import DenseModel
from gateways.core.scoring.vectors import normalize
from gateways.core.settings import ModelSettings
from gateways.python import runtime
from gateways.python.device import DTYPES, resolve_device

PRECISIONS = ("fp32", "fp16", "bf16")
ENCODE_BATCHES = (32, 128, 512, 2_048)
# Texts per request, and requests in flight. The gateway plans the batches of all requests together.
PER_REQUEST, IN_FLIGHT = 512, 8
SEED = 1


@dataclass(frozen=True)
class Speed:
    """One row of offline.csv, without its column `tokens_per_s`."""

    device: str
    card: str
    what: str
    precision: str
    batch: str
    texts: int
    seconds: float
    texts_per_s: float


def main() -> None:
    """Read the command line, measure each precision, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of offline.csv and agreement.csv")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--precisions", default=",".join(PRECISIONS), help="separated by commas")
    parser.add_argument("--texts", type=int, default=16_384, help="chunks to embed; default: 16384")
    parser.add_argument("--agree", type=int, default=0, help="passages to compare; default: all, with search quality")
    options = parser.parse_args()
    data = squad.load()
    expected = reference.load(data)
    texts = Words(list(data.passages.values()), SEED).cut(CHUNK, options.texts)
    options.out.mkdir(parents=True, exist_ok=True)
    speeds: list[dict[str, Any]] = []
    agreements: list[dict[str, Any]] = []
    for precision in options.precisions.split(","):
        settings = ModelSettings.model_validate({"device": resolve_device(options.device), "precision": precision})
        dense = load(settings)
        tokens = sum(map(len, dense.texts.tokenize(texts, "END")))
        measurements = (
            measure_gateway(settings, texts),
            measure_model(dense, settings, texts),
            measure_encode(settings, texts),
        )
        for speed in measurements:
            speeds.append(asdict(speed) | {"tokens_per_s": round(tokens / speed.seconds)})
            print(f"{speed.what} {precision}: {speed.texts_per_s:,.0f} texts/s, batch {speed.batch}", flush=True)
        agreements.append(measure_agreement(dense, settings, expected, options.agree))
        print(agreements[-1], flush=True)
        write_csv(options.out / "offline.csv", speeds)
        write_csv(options.out / "agreement.csv", agreements)


def measure_gateway(settings: ModelSettings, texts: Sequence[str]) -> Speed:
    """Measure the torch gateway's backend with IN_FLIGHT concurrent requests."""

    async def run_backend() -> float:
        async with LocalBackend(runtime, settings) as backend:
            [name] = [info.id for info in backend.models() if info.kind == "dense"][:1]
            slots = asyncio.Semaphore(IN_FLIGHT)

            async def request(start: int) -> None:
                async with slots:
                    await backend.embed(name, texts[start : start + PER_REQUEST], EncodeOptions(lane="bulk"))

            await asyncio.gather(*map(request, range(0, min(len(texts), 4 * PER_REQUEST), PER_REQUEST)))  # warm-up
            started_s = time.perf_counter()
            await asyncio.gather(*map(request, range(0, len(texts), PER_REQUEST)))
            return time.perf_counter() - started_s

    return _make_row(settings, "gateway", f"{PER_REQUEST} x {IN_FLIGHT}", texts, asyncio.run(run_backend()))


def measure_model(dense: DenseModel, settings: ModelSettings, texts: Sequence[str]) -> Speed:
    """Measure the model alone over batches planned in advance, with as many threads as the gateway."""
    rows = dense.texts.tokenize(list(texts), "END")
    batches = plan(rows, dense.cost.knee or settings.max_batch_tokens, dense.cost)
    with ThreadPoolExecutor(GPU_THREADS) as pool:
        list(pool.map(dense.encode, batches[-2 * GPU_THREADS :]))  # warm-up
        started_s = time.perf_counter()
        list(pool.map(dense.encode, batches))
        seconds = time.perf_counter() - started_s
    batch = f"{dense.cost.knee or settings.max_batch_tokens} tokens"
    return _make_row(settings, "model alone", batch, texts, seconds)


def measure_encode(settings: ModelSettings, texts: Sequence[str]) -> Speed:
    """Measure `SentenceTransformer.encode` on the same device in the same precision. Returns its best batch size."""
    kwargs = {"dtype": DTYPES[settings.precision]}
    folder = str(settings.models_dir / catalog.load(settings.models_file).resolve(settings.model))
    encoder = SentenceTransformer(folder, device=settings.device, local_files_only=True, model_kwargs=kwargs)
    speeds = []
    for batch in ENCODE_BATCHES:
        encode = _make_encode(encoder, batch)
        encode(texts[: 2 * batch])  # warm-up
        started_s = time.perf_counter()
        encode(texts)
        seconds = time.perf_counter() - started_s
        speeds.append(_make_row(settings, "sentence-transformers", str(batch), texts, seconds))
    return max(speeds, key=lambda speed: speed.texts_per_s)


def measure_agreement(
    dense: DenseModel, settings: ModelSettings, expected: Reference, passages: int
) -> dict[str, Any]:
    """Return a row of agreement.csv for the first `passages` passages. 0 means all of them, with search quality."""
    texts = list(expected.squad.passages.values())[: passages or None]
    vectors = embed(dense, settings, texts)
    similarities = cosines(vectors, expected.passages[: len(texts)])
    row = {
        "device": settings.device,
        "precision": settings.precision,
        "passages": len(texts),
        "cosine_min": float(similarities.min()),
        "cosine_mean": float(similarities.mean()),
    }
    if passages:
        return row
    questions = expected.squad.answerable
    queries = embed(dense, settings, [question.text for question in questions])
    relevant = [question.relevant for question in questions]
    quality = ranking_metrics.measure(ranking_metrics.rank_by_dot(queries, vectors, expected.passage_ids), relevant)
    reference_quality = ranking_metrics.measure_reference(expected, questions)
    return row | {"ndcg10": quality.ndcg10, "reference_ndcg10": reference_quality.ndcg10}


def load(settings: ModelSettings) -> DenseModel:
    """Load the default model as the gateway does, with what its passes cost here."""
    models = catalog.load(settings.models_file)
    located = runtime.locate(models.resolve(settings.model), models, settings)
    dense = cast(DenseModel, runtime.load(located, settings))
    tune(dense, located, settings)
    return dense


def embed(dense: DenseModel, settings: ModelSettings, texts: Sequence[str]) -> F32:
    """Embed texts in batches; float32 (n, dimensions), of unit length, in their order."""
    rows = dense.texts.tokenize(list(texts), "END")
    vectors = np.empty((len(rows), dense.info.dimensions), np.float32)
    step = max(1, (dense.cost.knee or settings.max_batch_tokens) // 64)
    for start in range(0, len(rows), step):
        vectors[start : start + step] = normalize(dense.encode(rows[start : start + step]))
    return vectors


def write_csv(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows as CSV. The header is the keys of the first row."""
    with file.open("w", newline="") as stream:
        lines = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        lines.writeheader()
        lines.writerows(rows)


def _make_encode(encoder: SentenceTransformer, batch: int) -> Callable[[Sequence[str]], object]:
    return lambda texts: encoder.encode(list(texts), batch_size=batch, show_progress_bar=False)


def _make_row(settings: ModelSettings, what: str, batch: str, texts: Sequence[str], seconds: float) -> Speed:
    on_card = settings.device.startswith("cuda")
    return Speed(
        device=settings.device,
        card=torch.cuda.get_device_name(settings.device) if on_card else "",
        what=what,
        precision=settings.precision,
        batch=batch,
        texts=len(texts),
        seconds=round(seconds, 4),
        texts_per_s=round(len(texts) / seconds, 1),
    )


if __name__ == "__main__":
    main()
