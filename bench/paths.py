"""Where things lie, all relative to the repository root."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODEL = "all-MiniLM-L6-v2"

TARGETS = ROOT / "bench" / "targets"
PEERS = ROOT / "bench" / "peers"
SQUAD = ROOT / "bench" / "datasets" / "squad-v2-dev.json.gz"
RESULTS = ROOT / "results"
CACHE = ROOT / ".cache"


def models_dir() -> Path:
    """The folder of the models: MODELS_DIR, or models/ of the repository."""
    return Path(os.environ.get("MODELS_DIR", ROOT / "models")).resolve()


def model_dir() -> Path:
    """The folder of the one model this harness measures."""
    return models_dir() / MODEL
