"""Archives of DATA_DIR: every file is checked, and holes stay holes."""

from __future__ import annotations

import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from gateways.core.persistence.archive import ArchiveDamaged, check_archive, unpack, write_archive
from gateways.core.persistence.sparse_files import copy_sparse

HOLE_BYTES = 64 << 20


def write_sparse(path: Path) -> None:
    """Write a file of two texts with a hole before, between and after them."""
    with path.open("wb") as file:
        for text in (b"the first text", b"the second text"):
            file.seek(HOLE_BYTES, 1)
            file.write(text)
        file.truncate(3 * HOLE_BYTES + 1)


def allocated_bytes(path: Path) -> int:
    """Return what a file takes on the disk."""
    return path.stat().st_blocks * 512


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a sparse file, an empty one, and one in a folder below."""
    folder = tmp_path / "data"
    (folder / "below").mkdir(parents=True)
    write_sparse(folder / "sparse")
    (folder / "empty").touch()
    (folder / "below" / "text").write_text("a text")
    return folder


def files(folder: Path) -> list[Path]:
    """Return the files below a folder."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_an_archive_is_unpacked_as_it_was(folder: Path, tmp_path: Path) -> None:
    """The same files come back, and the holes take no place."""
    archive, restored = tmp_path / "archive.tar.gz", tmp_path / "restored"

    counts = write_archive(archive, folder, files(folder)), check_archive(archive), unpack(archive, restored)

    assert counts == (3, 3, 3)
    for path in files(folder):
        assert (restored / path.relative_to(folder)).read_bytes() == path.read_bytes()
    assert allocated_bytes(restored / "sparse") < HOLE_BYTES
    assert [path.name for path in tmp_path.iterdir() if "draft" in path.name] == []


def test_a_copy_keeps_holes(folder: Path, tmp_path: Path) -> None:
    """Each of the three files is copied byte by byte, without the space of its holes."""
    for path in files(folder):
        copy_sparse(path, tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == path.read_bytes()
    copy_sparse(folder / "sparse", tmp_path / "copy")
    assert allocated_bytes(tmp_path / "copy") < HOLE_BYTES


@pytest.mark.parametrize("position", [0.0, 0.01, 0.1, 0.5])
def test_a_changed_byte_is_noticed(folder: Path, tmp_path: Path, position: float) -> None:
    """By `check` and by `unpack`, in the list and in the files. After them are only zeros."""
    archive = tmp_path / "archive.tar.gz"
    write_archive(archive, folder, files(folder))
    content = bytearray(archive.read_bytes())
    content[int(position * len(content))] ^= 0xFF
    archive.write_bytes(content)

    with pytest.raises(ArchiveDamaged, match=r"archive.tar.gz is damaged, or no snapshot"):
        check_archive(archive)
    with pytest.raises(ArchiveDamaged):
        unpack(archive, tmp_path / "restored")


def test_an_archive_that_was_cut_is_noticed(folder: Path, tmp_path: Path) -> None:
    """The rest of an interrupted download is refused."""
    archive = tmp_path / "archive.tar.gz"
    write_archive(archive, folder, files(folder))
    archive.write_bytes(archive.read_bytes()[:-100])

    with pytest.raises(ArchiveDamaged):
        check_archive(archive)


def test_other_content_under_the_same_name_is_noticed(folder: Path, tmp_path: Path) -> None:
    """The archive is sound as a tar, and its list of hashes is not that of its files; or a file is missing."""
    archive, forged, short = tmp_path / "archive.tar.gz", tmp_path / "forged.tar.gz", tmp_path / "short.tar.gz"
    write_archive(archive, folder, files(folder))
    with tarfile.open(archive) as old, tarfile.open(forged, "w:gz") as new, tarfile.open(short, "w:gz") as rest:
        for member in old:
            content = old.extractfile(member)
            assert content is not None
            raw = content.read()
            if member.name != "data/below/text":
                rest.addfile(member, BytesIO(raw))
            new.addfile(member, BytesIO(b"A text" if raw == b"a text" else raw))

    with pytest.raises(ArchiveDamaged, match="below/text is not what was saved"):
        check_archive(forged)
    with pytest.raises(ArchiveDamaged, match="below/text is missing"):
        check_archive(short)
