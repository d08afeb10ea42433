"""A corpus through `gateways.admin bulk-embed`, on real Ray nodes, and into a store that a real gateway serves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench import paths
from bench.datasets import squad
from tests.support.gateways import describe, wait_until

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from ray.cluster_utils import Cluster

ENOUGH_S = 240
# What the same text may differ by in another batch; golden vectors are held to about as much.
CLOSE = 1e-5


class Corpus:
    """SQuAD's passages as JSON Lines in several files, and where their vectors go."""

    def __init__(self, folder: Path, count: int) -> None:
        self.texts = dict(list(squad.load().passages.items())[:count])
        self.folder, self.output = folder / "corpus", folder / "output"
        self.folder.mkdir()
        lines = [
            {"id": name, "text": text, "metadata": {"words": len(text.split())}} for name, text in self.texts.items()
        ]
        for part in range(8):
            written = "".join(json.dumps(line) + "\n" for line in lines[part::8])
            (self.folder / f"{part}.jsonl").write_text(written)

    def command(self, *options: str) -> list[str]:
        """Return what embeds it."""
        arguments = ["--input", str(self.folder), "--output", str(self.output), *options]
        return [sys.executable, "-m", "gateways.admin", "bulk-embed", *arguments]

    def files(self) -> list[Path]:
        """Return the files of vectors that were finished."""
        return [path for path in sorted(self.output.glob("vectors/*.parquet")) if _is_whole(path)]

    def vectors(self) -> pa.Table:
        """Return what was made, all columns."""
        return pa.concat_tables([pq.read_table(path) for path in self.files()])


@pytest.fixture
def corpus(tmp_path: Path) -> Callable[[int], Corpus]:
    """Return what makes a corpus of the first so many passages."""
    return lambda count: Corpus(tmp_path, count)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Yield a Ray cluster of one node; tests add to it."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 128 << 20})
    yield made
    made.shutdown()  # type: ignore[no-untyped-call]


@pytest.mark.gateway("onnx_py")
def test_the_vectors_are_those_of_the_gateway_and_it_finds_them(
    corpus: Callable[[int], Corpus], tmp_path: Path
) -> None:
    """All of a corpus, once, as `/v1/embeddings` answers; loaded into DATA_DIR, it is there to be found."""
    sample, data_dir = corpus(40), tmp_path / "data"
    output = run(sample.command("--load-into", "edge"), DATA_DIR=str(data_dir))

    assert f"40 vectors of all-MiniLM-L6-v2 (fp32) are in {sample.output}" in output
    made = sample.vectors()
    assert sorted(made["id"].to_pylist()) == sorted(sample.texts)
    gateway = describe("onnx_py", tmp_path / "gateway", DATA_DIR=str(data_dir)).start()
    try:
        with gateway.client() as http:
            answer = http.post("/v1/embeddings", json={"input": made["text"].to_pylist(), "input_type": "document"})
            served = np.array([entry["embedding"] for entry in answer.json()["data"]])
            name, text = next(iter(sample.texts.items()))
            hits = http.post("/v1/search", json={"query": text, "top_k": 1}).json()["results"]
            count = http.get("/healthz").json()["document_count"]
            loaded = http.get("/v1/collections/default").json()["vector_source"]
            own = http.put("/v1/collections/own", json={}).json()["vector_source"]
    finally:
        gateway.kill()
    np.testing.assert_allclose(np.array(made["embedding"].to_pylist()), served, atol=CLOSE)
    assert count == 40
    assert loaded == own
    assert (loaded["precision"], loaded["pooling"]) == ("fp32", "mean")
    assert [(hit["id"], hit["metadata"]["words"]) for hit in hits] == [(name, len(text.split()))]


@pytest.mark.slow("36 s: two runs of Ray over 400 passages")
def test_what_was_stopped_goes_on(corpus: Callable[[int], Corpus]) -> None:
    """Killed when the first vectors are there, begun again: those stay as they are, and every text is there once."""
    sample = corpus(400)
    with started(sample.command()) as process:
        wait_until(sample.files, ENOUGH_S, "the first vectors")
        process.kill()
    done = {path: path.stat().st_mtime_ns for path in sample.files()}
    assert len(done) < 8
    torn = sample.output / "vectors" / "torn.parquet"
    torn.write_bytes(next(iter(done)).read_bytes()[:-100])

    run(sample.command())

    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert sorted(sample.vectors()["id"].to_pylist()) == sorted(sample.texts)
    assert not torn.exists()


@pytest.mark.slow("39 s: two Ray nodes over 400 passages")
def test_a_node_that_dies_half_way_takes_nothing_with_it(corpus: Callable[[int], Corpus], cluster: Cluster) -> None:
    """Of two nodes one is killed when the first vectors are there: the other finishes, every text is there once."""
    sample = corpus(400)
    second = cluster.add_node(num_cpus=1, object_store_memory=128 << 20)
    with started(sample.command("--address", cluster.address)) as working:
        wait_until(sample.files, ENOUGH_S, "the first vectors")
        cluster.remove_node(second, allow_graceful=False)
        output, _ = working.communicate(timeout=ENOUGH_S)

    assert working.returncode == 0, output
    assert sorted(sample.vectors()["id"].to_pylist()) == sorted(sample.texts)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ({"id": "a", "text": " \n"}, "the text of id 'a' is empty: there is nothing to embed"),
        ({"name": "a", "text": "a text"}, "has no column 'id'; it has name, text"),
    ],
)
def test_a_corpus_that_cannot_be_embedded(corpus: Callable[[int], Corpus], line: dict[str, str], why: str) -> None:
    """The error says what is wrong with it."""
    sample = corpus(0)
    for file in sample.folder.glob("*"):
        file.write_text(json.dumps(line) + "\n")

    assert why in run(sample.command(), fails=True)


def test_vectors_of_two_models_do_not_mix(corpus: Callable[[int], Corpus]) -> None:
    """A folder belongs to what made the vectors in it."""
    sample = corpus(8)
    sample.output.mkdir()
    (sample.output / "made-by.json").write_text('{"model": "another"}')

    assert "has vectors of {'model': 'another'}" in run(sample.command(), fails=True)


def started(command: list[str], **environ: str) -> subprocess.Popen[str]:
    """Start a command of ours; all that it says comes by one pipe."""
    return subprocess.Popen(  # noqa: S603 our own command
        command,
        cwd=paths.ROOT,
        env=os.environ | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(command: list[str], *, fails: bool = False, **environ: str) -> str:
    """Run a command of ours to its end, and return what it said."""
    with started(command, **environ) as working:
        output, _ = working.communicate(timeout=ENOUGH_S)
    assert bool(working.returncode) == fails, output
    return output


def _is_whole(path: Path) -> bool:
    try:
        pq.read_metadata(path)
    except (pa.ArrowInvalid, FileNotFoundError):
        return False
    return True
