"""One rule for the programs that some tests run: without one they are skipped here, and fail where CI=true."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest

from scripts import browser
from scripts.checks.fetch_helm import HELM

FIND: dict[str, Callable[[], str | None]] = {
    "chromium": browser.find,
    "helm": lambda: str(HELM) if HELM.is_file() else None,
}
# How to install what apt has under another name, or not at all.
INSTALL = {
    "cc": "apt-get install gcc",
    "helm": "python -m scripts.checks.fetch_helm",
    "java": "apt-get install default-jdk-headless",
    "nginx": "apt-get install nginx-light",
    "npm": "apt-get install nodejs npm, node 20 or newer",
}


def find(name: str) -> str | None:
    """Return the path of a program, None where it is not installed."""
    return FIND.get(name, lambda: shutil.which(name))()


def require(name: str) -> None:
    """Return where a program is installed; otherwise skip the test, or fail it where CI=true."""
    if find(name) is None:
        missing = f"{name} is not installed: {INSTALL.get(name, f'apt-get install {name}')}"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(f"{missing} (CI=true)", pytrace=False)
        pytest.skip(missing)
