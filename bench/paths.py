"""Paths of the harness, below the repository root."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODEL = "all-MiniLM-L6-v2"

TARGETS = ROOT / "bench" / "targets"
PEERS = ROOT / "bench" / "peers"
SQUAD = ROOT / "bench" / "datasets" / "squad-v2-dev.json.gz"
RESULTS = ROOT / "results"
CAMPAIGNS = RESULTS / "campaigns"
STUDIES = RESULTS / "studies"
SOAKS = RESULTS / "soak"
CONFORMANCE = RESULTS / "conformance"
CACHE = ROOT / ".cache"


def models_dir() -> Path:
    """Return the folder of all models: MODELS_DIR if set, else models/ of the repository."""
    return Path(os.environ.get("MODELS_DIR", ROOT / "models")).resolve()


def model_dir() -> Path:
    """Return the folder of MODEL, the model that the harness measures."""
    return models_dir() / MODEL


def prepared_dir(folder: Path) -> Path:
    """Return the folder of the model files that `make setup PEERS=1` made for the peers of `folder`."""
    return CACHE / "peers" / folder.name
