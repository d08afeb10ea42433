"""
Embed a corpus on all cores of this machine, or of a Ray cluster, with the model of a gateway.

    python -m scripts.bulk_embed --input corpus.parquet --output vectors --gateway onnx_py

The input is Parquet or JSON Lines, a file or a folder, with columns `id` (no two alike) and `text`; the output is
Parquet with the same columns and `embedding`, as `/v1/embeddings` answers for `input_type` document. It may be
stopped and begun again: what is in the output is not embedded twice. MODEL, PRECISION and the like are the gateway's.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, TypeAlias, cast, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import ray
import ray.data
import ray.exceptions

from gateways.core import catalog
from gateways.core.catalog import CatalogError, Located
from gateways.core.planning import plan
from gateways.core.runtime import DenseModel, Runtime
from gateways.core.server import read_settings
from gateways.core.settings import Settings
from gateways.core.tuning import tune
from gateways.core.vectors import normalize

GATEWAYS = ("onnx_py", "python")
STORES = get_args(Settings.model_fields["store"].annotation)
# What says in the output folder what made the vectors beside it.
MADE_BY = "made-by.json"
COLUMNS = ("id", "text")
READERS = {".parquet": ray.data.read_parquet, ".jsonl": ray.data.read_json}
# What is written together, and done again after a stop; and the texts of which an actor makes passes at once.
BLOCK_BYTES, ROWS_AT_ONCE = 4 << 20, 256
# There is an actor for each core. On paper it takes half of one: those who read for it and write what it made need a
# little of it now and then, and would wait for ever.
ACTOR_CPUS, MOVER_CPUS = 0.5, 0.1

Ids: TypeAlias = npt.NDArray[np.str_]


class Unusable(Exception):
    """The corpus, or what is in the output folder, is not what it must be."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A text of a batch: where it is, and its tokens."""

    place: int
    ids: list[int]

    def __len__(self) -> int:
        """Return its number of tokens."""
        return len(self.ids)


class Embed:
    """A gateway's dense model in a process of its own, on one thread, for all texts that are not done."""

    def __init__(self, gateway: str, located: Located, settings: Settings, done: ray.ObjectRef[Ids]) -> None:
        self._done = ray.get(done)
        self._model = cast(DenseModel, runtime_of(gateway).load(located, settings))
        self._prompt = dict(self._model.info.prompts)["document"]
        if located.info.device != "cpu":
            tune(self._model, located, settings)
        self._most_tokens = self._model.cost.knee or settings.max_batch_tokens

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Add `embedding`, float32 (n, dimensions) of unit length, to texts. Raises Unusable for an empty one."""
        new = ~_among(batch["id"].astype(str), self._done)
        batch = {name: column[new] for name, column in batch.items()}
        texts = batch["text"].tolist()
        for name, text in zip(batch["id"], texts, strict=True):
            if not isinstance(text, str) or not text.strip():
                raise Unusable(f"the text of id {name!r} is empty: there is nothing to embed")
        inputs = self._model.texts.tokenize([self._prompt + text for text in texts], "END")
        vectors = np.empty((len(texts), self._model.info.dimensions), dtype=np.float32)
        for rows in plan([Row(*it) for it in enumerate(inputs)], self._most_tokens, self._model.cost):
            vectors[[row.place for row in rows]] = normalize(self._model.encode([row.ids for row in rows]))
        return batch | {"embedding": vectors}


def runtime_of(gateway: str) -> Runtime:
    """Return what a gateway loads its models with; its packages must be installed here."""
    return cast(Runtime, importlib.import_module(f"gateways.{gateway}.model"))


def main() -> None:
    """Read the command line, embed, and load what was made where that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, required=True, help="a .parquet or .jsonl file, or a folder of them")
    parser.add_argument("--output", type=Path, required=True, help="folder; on a cluster one that all machines share")
    parser.add_argument("--gateway", choices=GATEWAYS, default=GATEWAYS[0])
    parser.add_argument("--address", help="of a Ray cluster that runs; default: RAY_ADDRESS, else this machine")
    parser.add_argument("--load-into", choices=STORES, help="afterwards: scripts.bulk_load")
    parser.add_argument("--collection", default="default", help="of --load-into")
    asked = parser.parse_args()
    settings = read_settings()
    try:
        print(embed(asked.input, asked.output, asked.gateway, settings, asked.address))
    except (Unusable, CatalogError) as error:
        raise SystemExit(f"not finished: {error}") from None
    if asked.load_into:
        load = ["--from", str(asked.output), "--into", asked.load_into, "--collection", asked.collection]
        sys.stdout.flush()
        raise SystemExit(subprocess.call([sys.executable, "-m", "scripts.bulk_load", *load]))  # noqa: S603 our own


def embed(corpus: Path, output: Path, gateway: str, settings: Settings, address: str | None = None) -> str:
    """
    Write the vectors of a corpus to a folder, all that are not there yet; say how many there are.

    Raises Unusable where the corpus lacks a column or has an empty text, and where the folder has vectors of another
    model.
    """
    output = output.resolve()
    models = catalog.load(settings.models_file)
    located = runtime_of(gateway).locate(models.resolve(settings.model), models, settings)
    made_by = {"gateway": gateway, "model": located.info.id, "precision": located.info.precision}
    _claim(output, {**made_by, "dimensions": located.info.dimensions})
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # or it reports its use to its maker
    ray.init(address=address, include_dashboard=False, log_to_driver=False)
    try:
        ray.data.DataContext.get_current().target_max_block_size = BLOCK_BYTES
        vectors = _embedded(_read(corpus.resolve()), gateway, located, settings, _done(output / "vectors"))
        vectors.write_parquet(str(output / "vectors"), ray_remote_args={"num_cpus": MOVER_CPUS})
    except ray.exceptions.RayError as error:
        raise _cause(error) from None
    finally:
        ray.shutdown()
    found = sum(pq.read_metadata(file).num_rows for file in (output / "vectors").glob("*.parquet"))
    return f"{found} vectors of {located.info.id} ({located.info.precision}) are in {output}"


def _embedded(
    texts: ray.data.Dataset, gateway: str, located: Located, settings: Settings, done: Ids
) -> ray.data.Dataset:
    """Return the texts that are not done with their vectors, made by an actor on each core, or on each GPU."""
    on_gpu = located.info.device.startswith("cuda")
    return texts.map_batches(
        Embed,
        fn_constructor_args=(gateway, located, settings, ray.put(done)),
        batch_size=ROWS_AT_ONCE,
        compute=ray.data.ActorPoolStrategy(size=_resources()["GPU" if on_gpu else "CPU"]),
        num_cpus=ACTOR_CPUS,
        num_gpus=int(on_gpu),
    )


def _cause(error: BaseException) -> BaseException:
    """Return the Unusable that Ray wrapped in errors of its own, else the outermost."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, Unusable):
        found = getattr(found, "cause", None) or found.__cause__
    return found or error


def _resources() -> dict[str, int]:
    """Return how many of which there are in the whole cluster."""
    return {name: int(amount) for name, amount in ray.cluster_resources().items()}  # type: ignore[no-untyped-call]


def _read(corpus: Path) -> ray.data.Dataset:
    """Return the corpus; Unusable where it is none."""
    files = [corpus] if corpus.is_file() else sorted(path for path in corpus.glob("*") if path.suffix in READERS)
    kinds = {path.suffix for path in files}
    if len(kinds) != 1 or not kinds <= set(READERS):
        raise Unusable(f"{corpus}: this reads one or many files of one kind, {' or '.join(READERS)}")
    texts = READERS[kinds.pop()]([str(path) for path in files], ray_remote_args={"num_cpus": MOVER_CPUS})
    names = texts.schema().names
    if absent := [name for name in COLUMNS if name not in names]:
        raise Unusable(f"{corpus} has no column {absent[0]!r}; it has {', '.join(names)}")
    return texts


def _done(folder: Path) -> Ids:
    """Return the ids that are in a folder, in order; a file that was not finished is removed."""
    ids: list[str] = []
    for file in folder.glob("*.parquet"):
        try:
            ids += map(str, pq.read_table(file, columns=["id"])["id"].to_pylist())
        except pa.ArrowInvalid:
            file.unlink()
    return np.unique(np.array(ids, dtype=str))


def _among(ids: Ids, known: Ids) -> npt.NDArray[np.bool_]:
    """Say which of n ids are among others, which are in order: bool (n,)."""
    if not len(known):
        return np.zeros(len(ids), dtype=bool)
    places = np.searchsorted(known, ids)
    found: npt.NDArray[np.bool_] = known[np.minimum(places, len(known) - 1)] == ids
    return found


def _claim(output: Path, made_by: dict[str, Any]) -> None:
    """Write down what made the vectors of a folder; Unusable where those that are there are of something else."""
    output.mkdir(parents=True, exist_ok=True)
    note = output / MADE_BY
    if not note.is_file():
        note.write_text(json.dumps(made_by, indent=2) + "\n")
    elif (there := json.loads(note.read_text())) != made_by:
        raise Unusable(f"{output} has vectors of {there}, and these would be of {made_by}: take another folder")


if __name__ == "__main__":
    main()
