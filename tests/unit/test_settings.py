"""The settings: documented where a user looks, read where they are set, refused with their name."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from gateways.core.settings import Settings

ROOT = Path(__file__).parents[2]


def test_the_readme_lists_every_setting_with_its_default() -> None:
    """The table in README is the settings, no more and no less."""
    table = dict(re.findall(r"^\| `([A-Z_]+)` \| (.*?) \|", (ROOT / "README.md").read_text(), re.MULTILINE))

    expected = {
        name.upper(): "empty" if field.default in ("", None) else f"`{field.default}`"
        for name, field in Settings.model_fields.items()
    }

    assert table == expected


def test_a_variable_of_the_environment_is_read() -> None:
    """Capitals of the field's name; an empty one counts as not set."""
    settings = Settings.read({"PORT": "9001", "THREADS": "", "PRECISION": "INT8", "HOME": "/root"})

    assert (settings.port, settings.threads, settings.precision) == (9001, 0, "int8")


def test_a_wrong_variable_ends_the_process_with_its_name() -> None:
    """One line per mistake, no traceback."""
    ended = subprocess.run(
        [sys.executable, "-m", "gateways.split.gateway"],
        cwd=ROOT,
        env={"PORT": "eight", "DEVICE": "tpu"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 2
    assert "PORT='eight'" in ended.stderr
    assert "DEVICE='tpu'" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:12", "mps", "CUDA:1"])
def test_a_device_may_be_numbered(device: str) -> None:
    """As torch names them, in any case."""
    assert Settings.read({"DEVICE": device}).device == device.lower()


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cuda 1", "cpu:0"])
def test_a_device_of_no_such_name_is_refused(device: str) -> None:
    """And the message says what it may be."""
    with pytest.raises(ValidationError, match="cuda:0, cuda:1, … or mps"):
        Settings.read({"DEVICE": device})


def test_what_a_client_sees_holds_no_secret() -> None:
    """Keys and folders stay inside."""
    settings = Settings(api_keys="hush", embedding_api_key="hush too", embedding_api_url="http://user:pw@inner")

    assert "hush" not in str(settings.public())
    assert "inner" not in str(settings.public())
