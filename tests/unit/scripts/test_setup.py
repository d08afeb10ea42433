"""An environment is made of the files whose hashes are known, or not at all. Real pip, a real wheel."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from scripts import setup

ROOT = Path(__file__).resolve().parents[3]
WHEEL = "tiny_package-1.0-py3-none-any.whl"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository of our own, and an index that has one wheel."""
    monkeypatch.setattr(setup, "ROOT", tmp_path)
    index = tmp_path / "index"
    index.mkdir()
    with zipfile.ZipFile(index / WHEEL, "w") as wheel:
        info = "tiny_package-1.0.dist-info"
        wheel.writestr("tiny_package.py", "")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-package\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    (tmp_path / "constraints.txt").write_text("tiny-package==1.0\n")
    return tmp_path


def make(folder: Path) -> Path:
    """Make the environment and return its path."""
    path = folder / "venv"
    setup.environment(path, ["tiny-package"], folder / "constraints.txt", sources=[])
    return path


def test_a_file_with_its_hash_is_installed(folder: Path) -> None:
    """And the environment is reused until the list of hashes changes."""
    sha256 = hashlib.sha256((folder / "index" / WHEEL).read_bytes()).hexdigest()
    (folder / "constraints.sha256").write_text(f"# a comment\n{sha256}  {WHEEL}\n")

    path = make(folder)

    assert subprocess.run([path / "bin/python", "-c", "import tiny_package"], check=False).returncode == 0  # noqa: S603
    stamp = (path / "made-from.sha256").stat().st_mtime_ns
    assert (make(folder) / "made-from.sha256").stat().st_mtime_ns == stamp


def test_a_peers_model_files_are_made_once_for_each_script(folder: Path) -> None:
    """A second run makes nothing; a changed script makes them anew, in an empty folder."""
    peer, model = folder / "bench" / "peers" / "x", folder / "model"
    for made in (peer, model, folder / ".venvs" / "peer-x" / "bin"):
        made.mkdir(parents=True)
    (folder / ".venvs" / "peer-x" / "bin" / "python").symlink_to(sys.executable)
    (model / "model.safetensors").write_bytes(b"weights")
    (peer / "constraints.txt").write_text("")
    script = peer / "prepare_x.py"
    prepared = folder / ".cache" / "peers" / "x"

    script.write_text("import sys, pathlib; (pathlib.Path(sys.argv[2]) / 'a').write_text(sys.argv[1])")
    setup.prepare(script, model)
    made_ns = (prepared / "a").stat().st_mtime_ns
    setup.prepare(script, model)

    assert (prepared / "a").read_text() == str(model)
    assert (prepared / "a").stat().st_mtime_ns == made_ns
    script.write_text("import sys, pathlib; (pathlib.Path(sys.argv[2]) / 'b').write_text('')")
    setup.prepare(script, model)
    assert sorted(file.name for file in prepared.iterdir()) == ["b", "made-from.sha256"]


def test_another_file_of_the_same_name_is_refused(folder: Path) -> None:
    """Nothing is left of the environment, so that no later step runs it."""
    (folder / "constraints.sha256").write_text(f"{'0' * 64}  {WHEEL}\n")

    with pytest.raises(SystemExit, match=f"not the files of constraints.sha256: {WHEEL}"):
        make(folder)

    assert not (folder / "venv").exists()


def test_a_file_of_another_platform_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is installed: the list has the files of the platforms on which it was written."""
    (folder / "constraints.sha256").write_text(f"{'0' * 64}  tiny_package-1.0-cp311-cp311-win_amd64.whl\n")

    assert make(folder).is_dir()
    assert f"without a known SHA-256, as of another platform: {WHEEL}" in capsys.readouterr().out


def test_each_pinned_package_has_a_hash() -> None:
    """Of the version that constraints.txt names."""
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    known = setup.read_hashes(ROOT / "constraints.sha256")
    files = {tuple(name.split("-")[:2]) for name in known}
    hashed = {(name.lower().replace("_", "-").replace(".", "-"), version) for name, version in files}

    assert all(len(sha256) == 64 for sha256 in known.values())
    missing = {
        name
        for name, version in pins.items()
        if (name.lower().replace("_", "-").replace(".", "-"), version) not in hashed
    }
    assert not missing
