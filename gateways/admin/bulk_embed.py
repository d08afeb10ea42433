"""
Embed a corpus on all cores of this machine, or of a Ray cluster, with the model of a gateway.

    python -m gateways.admin bulk-embed --input corpus.parquet --output vectors --gateway onnx_py

The input is Parquet or JSON Lines, a file or a folder, with the columns `id` (unique) and `text`. The output is
Parquet with the same columns and `embedding`, the vector of `/v1/embeddings` for `input_type` document. A second run
resumes a stopped one: texts in the output are not embedded again. Set MODEL, PRECISION and so on as for the gateway.
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

from gateways.core.app.server import read_settings
from gateways.core.inference.batch_planner import plan
from gateways.core.inference.pass_cost import tune
from gateways.core.models import catalog
from gateways.core.models.catalog import CatalogError, Located
from gateways.core.models.runtime import DenseModel, Runtime
from gateways.core.scoring.vectors import normalize
from gateways.core.settings import ModelSettings, StoreSettings
from gateways.core.vector_source import source_of

GATEWAYS = ("onnx_py", "python")
STORES = get_args(StoreSettings.model_fields["store"].annotation)
# The file in the output folder that names the model that made the vectors.
MADE_BY = "made-by.json"
COLUMNS = ("id", "text")
READERS = {".parquet": ray.data.read_parquet, ".jsonl": ray.data.read_json}
# Bytes per output file, the most work that a stop loses; and the texts that an actor batches into passes.
BLOCK_BYTES, ROWS_AT_ONCE = 4 << 20, 256
# One actor per core, which reserves half of it: the tasks that read its input and write its output need CPU to be
# scheduled, and would wait forever.
ACTOR_CPUS, MOVER_CPUS = 0.5, 0.1

Ids: TypeAlias = npt.NDArray[np.str_]


class Unusable(Exception):
    """The corpus or the output folder cannot be used. The message says why."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A text of a batch: its position, and its token ids."""

    position: int
    ids: list[int]

    def __len__(self) -> int:
        """Return the number of tokens."""
        return len(self.ids)


class Embed:
    """An actor with a gateway's dense model, on one thread. It skips the texts in `done`."""

    def __init__(self, gateway: str, located: Located, settings: ModelSettings, done: ray.ObjectRef[Ids]) -> None:
        self._done = ray.get(done)
        self._model = cast(DenseModel, runtime_of(gateway).load(located, settings))
        self._prompt = dict(self._model.info.prompts)["document"]
        if located.info.device != "cpu":
            tune(self._model, located, settings)
        self._max_batch_tokens = self._model.cost.knee or settings.max_batch_tokens

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Add `embedding`, float32 (n, dimensions) of unit length. Raises Unusable for an empty text."""
        new = ~_is_member(batch["id"].astype(str), self._done)
        batch = {name: column[new] for name, column in batch.items()}
        texts = batch["text"].tolist()
        for name, text in zip(batch["id"], texts, strict=True):
            if not isinstance(text, str) or not text.strip():
                raise Unusable(f"the text of id {name!r} is empty: there is nothing to embed")
        inputs = self._model.texts.tokenize([self._prompt + text for text in texts], "END")
        vectors = np.empty((len(texts), self._model.info.dimensions), dtype=np.float32)
        for rows in plan(
            [Row(position, ids) for position, ids in enumerate(inputs)], self._max_batch_tokens, self._model.cost
        ):
            vectors[[row.position for row in rows]] = normalize(self._model.encode([row.ids for row in rows]))
        return batch | {"embedding": vectors}


def runtime_of(gateway: str) -> Runtime:
    """Return the runtime of a gateway by its name. The gateway's packages must be installed."""
    return cast(Runtime, importlib.import_module(f"gateways.{gateway}.runtime"))


def main() -> None:
    """Parse the command line, embed, and load the output if --load-into is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, required=True, help="a .parquet or .jsonl file, or a folder of them")
    parser.add_argument(
        "--output", type=Path, required=True, help="a folder; on a cluster one that all machines share"
    )
    parser.add_argument("--gateway", choices=GATEWAYS, default=GATEWAYS[0])
    parser.add_argument("--address", help="address of a running Ray cluster; default: RAY_ADDRESS, else this machine")
    parser.add_argument("--load-into", choices=STORES, help="store that bulk-load then fills")
    parser.add_argument("--collection", default="default", help="collection of --load-into")
    arguments = parser.parse_args()
    settings = read_settings(ModelSettings)
    try:
        print(embed(arguments.input, arguments.output, arguments.gateway, settings, arguments.address))
    except (Unusable, CatalogError) as error:
        raise SystemExit(f"not finished: {error}") from None
    if arguments.load_into:
        load = ["--from", str(arguments.output), "--into", arguments.load_into, "--collection", arguments.collection]
        sys.stdout.flush()
        raise SystemExit(subprocess.call([sys.executable, "-m", "gateways.admin", "bulk-load", *load]))  # noqa: S603 our own


def embed(corpus: Path, output: Path, gateway: str, settings: ModelSettings, address: str | None = None) -> str:
    """
    Write the vectors of a corpus to a folder, except those that are there. Returns a summary.

    Raises Unusable if the corpus lacks a column or has an empty text, or if the folder has vectors of another model.
    """
    output = output.resolve()
    models = catalog.load(settings.models_file)
    located = runtime_of(gateway).locate(models.resolve(settings.model), models, settings)
    made_by = {"gateway": gateway, "model": located.info.id, "dimensions": located.info.dimensions}
    source = dataclasses.asdict(source_of(located.info, None))
    _claim(output, {**made_by, **{name: value for name, value in source.items() if value is not None}})
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reports its use to its maker otherwise
    ray.init(address=address, include_dashboard=False, log_to_driver=False)
    try:
        ray.data.DataContext.get_current().target_max_block_size = BLOCK_BYTES
        vectors = _embed_texts(_read(corpus.resolve()), gateway, located, settings, _read_ids(output / "vectors"))
        vectors.write_parquet(str(output / "vectors"), ray_remote_args={"num_cpus": MOVER_CPUS})
    except ray.exceptions.RayError as error:
        raise _cause(error) from None
    finally:
        ray.shutdown()
    count = sum(pq.read_metadata(file).num_rows for file in (output / "vectors").glob("*.parquet"))
    return f"{count} vectors of {located.info.id} ({located.info.precision}) are in {output}"


def _embed_texts(
    texts: ray.data.Dataset, gateway: str, located: Located, settings: ModelSettings, done: Ids
) -> ray.data.Dataset:
    """Return the texts that are not in `done` with their vectors. One actor per core, or per GPU, makes them."""
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
    """Return the Unusable that Ray wrapped in errors of its own, else `error`."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, Unusable):
        cause = getattr(cause, "cause", None) or cause.__cause__
    return cause or error


def _resources() -> dict[str, int]:
    """Return the amount of each resource of the cluster, such as CPU and GPU."""
    return {name: int(amount) for name, amount in ray.cluster_resources().items()}  # type: ignore[no-untyped-call]


def _read(corpus: Path) -> ray.data.Dataset:
    """Return the corpus. Raises Unusable if it cannot be read or lacks a column."""
    files = [corpus] if corpus.is_file() else sorted(path for path in corpus.glob("*") if path.suffix in READERS)
    kinds = {path.suffix for path in files}
    if len(kinds) != 1 or not kinds <= set(READERS):
        raise Unusable(f"{corpus}: this reads one or many files of one kind, {' or '.join(READERS)}")
    texts = READERS[kinds.pop()]([str(path) for path in files], ray_remote_args={"num_cpus": MOVER_CPUS})
    names = texts.schema().names
    if absent := [name for name in COLUMNS if name not in names]:
        raise Unusable(f"{corpus} has no column {absent[0]!r}; it has {', '.join(names)}")
    return texts


def _read_ids(folder: Path) -> Ids:
    """Return the sorted ids of all files of a folder. An incomplete file is removed."""
    ids: list[str] = []
    for file in folder.glob("*.parquet"):
        try:
            ids += map(str, pq.read_table(file, columns=["id"])["id"].to_pylist())
        except pa.ArrowInvalid:
            file.unlink()
    return np.unique(np.array(ids, dtype=str))


def _is_member(ids: Ids, members: Ids) -> npt.NDArray[np.bool_]:
    """Return which of n ids are in the sorted `members`: bool (n,)."""
    if not len(members):
        return np.zeros(len(ids), dtype=bool)
    places = np.searchsorted(members, ids)
    matches: npt.NDArray[np.bool_] = members[np.minimum(places, len(members) - 1)] == ids
    return matches


def _claim(output: Path, made_by: dict[str, Any]) -> None:
    """Note the model in the output folder. Raises Unusable if the folder has vectors of another model."""
    output.mkdir(parents=True, exist_ok=True)
    note = output / MADE_BY
    if not note.is_file():
        note.write_text(json.dumps(made_by, indent=2) + "\n")
    # The note of an earlier version has fewer fields.
    elif (previous := json.loads(note.read_text())) != {name: made_by.get(name) for name in previous}:
        raise Unusable(f"{output} has vectors of {previous}, and these would be of {made_by}: take another folder")


if __name__ == "__main__":
    main()
