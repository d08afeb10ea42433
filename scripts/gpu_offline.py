"""
Bulk embedding on one card, and whether half precision is right: `python -m scripts.gpu_offline --out <folder>`.

`offline.csv`: texts a second of chunks of about 256 tokens, by the torch gateway's own backend (tokenised, queued and
batched as it serves), by `SentenceTransformer.encode` at the best of several batch sizes, and by the model alone over
batches that were tokenised and planned before: the ceiling. `agreement.csv`: every passage of SQuAD against the
reference in fp32 on the CPU, and what search finds. Any device that torch has will do, a CPU too.
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

from bench import quality, reference
from bench.agreement import cosines
from bench.datasets import squad
from bench.datasets.lengths import CHUNK, Words
from bench.reference import F32, Reference
from gateways.core import catalog
from gateways.core.local import GPU_THREADS, LocalBackend
from gateways.core.planning import plan
from gateways.core.runtime import DenseModel
from gateways.core.settings import Settings
from gateways.core.tuning import tune
from gateways.core.vectors import normalize
from gateways.python import model as runtime
from gateways.python.device import DTYPES, resolve

PRECISIONS = ("fp32", "fp16", "bf16")
ENCODE_BATCHES = (32, 128, 512, 2_048)
# Of the gateway: texts of one request, and requests under way. What waits is planned together.
PER_REQUEST, UNDER_WAY = 512, 8
SEED = 1


@dataclass(frozen=True)
class Speed:
    """One row of offline.csv, which has tokens a second too."""

    device: str
    card: str
    what: str
    precision: str
    batch: str
    texts: int
    seconds: float
    texts_per_s: float


def main() -> None:
    """Read the command line, measure one precision after the other, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of offline.csv and agreement.csv")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--precisions", default=",".join(PRECISIONS), help="by comma")
    parser.add_argument("--texts", type=int, default=16_384, help="chunks to embed")
    parser.add_argument("--agree", type=int, default=0, help="passages to compare; default: all, and search too")
    asked = parser.parse_args()
    data = squad.load()
    known = reference.load(data)
    texts = Words(list(data.passages.values()), SEED).runs(CHUNK, asked.texts)
    asked.out.mkdir(parents=True, exist_ok=True)
    speeds: list[dict[str, Any]] = []
    agreements: list[dict[str, Any]] = []
    for precision in asked.precisions.split(","):
        settings = Settings.model_validate({"device": resolve(asked.device), "precision": precision})
        dense = load(settings)
        tokens = sum(map(len, dense.texts.tokenize(texts, "END")))
        for speed in (of_gateway(settings, texts), of_model(dense, settings, texts), of_encode(settings, texts)):
            speeds.append(asdict(speed) | {"tokens_per_s": round(tokens / speed.seconds)})
            print(f"{speed.what} {precision}: {speed.texts_per_s:,.0f} texts/s, batch {speed.batch}", flush=True)
        agreements.append(agreement(dense, settings, known, asked.agree))
        print(agreements[-1], flush=True)
        write(asked.out / "offline.csv", speeds)
        write(asked.out / "agreement.csv", agreements)


def of_gateway(settings: Settings, texts: Sequence[str]) -> Speed:
    """Embed by the backend that the torch gateway serves with, some requests at once."""

    async def embedded() -> float:
        async with LocalBackend(runtime, settings) as backend:
            [name] = [info.id for info in backend.models() if info.kind == "dense"][:1]
            slots = asyncio.Semaphore(UNDER_WAY)

            async def request(start: int) -> None:
                async with slots:
                    await backend.embed(name, texts[start : start + PER_REQUEST], lane="bulk")

            await asyncio.gather(*map(request, range(0, min(len(texts), 4 * PER_REQUEST), PER_REQUEST)))  # warm
            started_s = time.perf_counter()
            await asyncio.gather(*map(request, range(0, len(texts), PER_REQUEST)))
            return time.perf_counter() - started_s

    return _speed(settings, "gateway", f"{PER_REQUEST} x {UNDER_WAY}", texts, asyncio.run(embedded()))


def of_model(dense: DenseModel, settings: Settings, texts: Sequence[str]) -> Speed:
    """Run the same model over batches planned before, from as many threads: nothing else is in its way."""
    rows = dense.texts.tokenize(list(texts), "END")
    batches = plan(rows, dense.cost.knee or settings.max_batch_tokens, dense.cost)
    with ThreadPoolExecutor(GPU_THREADS) as pool:
        list(pool.map(dense.encode, batches[-2 * GPU_THREADS :]))  # warm
        started_s = time.perf_counter()
        list(pool.map(dense.encode, batches))
        seconds = time.perf_counter() - started_s
    return _speed(settings, "model alone", f"{dense.cost.knee or settings.max_batch_tokens} tokens", texts, seconds)


def of_encode(settings: Settings, texts: Sequence[str]) -> Speed:
    """`SentenceTransformer.encode` on the same card, in the same precision, at its best batch size."""
    kwargs = {"dtype": DTYPES[settings.precision]}
    folder = str(settings.models_dir / catalog.load(settings.models_file).resolve(settings.model))
    encoder = SentenceTransformer(folder, device=settings.device, local_files_only=True, model_kwargs=kwargs)
    made = []
    for batch in ENCODE_BATCHES:
        run = _encoding(encoder, batch)
        run(texts[: 2 * batch])  # warm
        started_s = time.perf_counter()
        run(texts)
        seconds = time.perf_counter() - started_s
        made.append(_speed(settings, "sentence-transformers", str(batch), texts, seconds))
    return max(made, key=lambda speed: speed.texts_per_s)


def agreement(dense: DenseModel, settings: Settings, known: Reference, passages: int) -> dict[str, Any]:
    """Cosines of passages to the reference's; of all of them also what exact search with them finds."""
    some = list(known.squad.passages.values())[: passages or None]
    vectors = embed(dense, settings, some)
    near = cosines(vectors, known.passages[: len(some)])
    found = {
        "device": settings.device,
        "precision": settings.precision,
        "passages": len(some),
        "cosine_min": float(near.min()),
        "cosine_mean": float(near.mean()),
    }
    if passages:
        return found
    questions = known.squad.answerable
    asked = embed(dense, settings, [question.text for question in questions])
    relevant = [question.relevant for question in questions]
    ours = quality.measure(quality.rank_by_dot(asked, vectors, known.passage_ids), relevant)
    return found | {"ndcg10": ours.ndcg10, "reference_ndcg10": quality.of_reference(known, questions).ndcg10}


def load(settings: Settings) -> DenseModel:
    """Load the default model as the gateway does, with what its passes cost here."""
    models = catalog.load(settings.models_file)
    located = runtime.locate(models.resolve(settings.model), models, settings)
    dense = cast(DenseModel, runtime.load(located, settings))
    tune(dense, located, settings)
    return dense


def embed(dense: DenseModel, settings: Settings, texts: Sequence[str]) -> F32:
    """Embed texts in batches; float32 (n, dimensions), of unit length, in their order."""
    rows = dense.texts.tokenize(list(texts), "END")
    vectors = np.empty((len(rows), dense.info.dimensions), np.float32)
    step = max(1, (dense.cost.knee or settings.max_batch_tokens) // 64)
    for start in range(0, len(rows), step):
        vectors[start : start + step] = normalize(dense.encode(rows[start : start + step]))
    return vectors


def write(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows as CSV, the keys of the first one as its head."""
    with file.open("w", newline="") as stream:
        lines = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        lines.writeheader()
        lines.writerows(rows)


def _encoding(encoder: SentenceTransformer, batch: int) -> Callable[[Sequence[str]], object]:
    return lambda texts: encoder.encode(list(texts), batch_size=batch, show_progress_bar=False)


def _speed(settings: Settings, what: str, batch: str, texts: Sequence[str], seconds: float) -> Speed:
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
