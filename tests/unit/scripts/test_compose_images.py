"""The images that docker-compose.yml pins."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[3]
# CVE-2026-3172 is fixed in 0.8.2, corruption of HNSW indexes by VACUUM in 0.8.3 and 0.8.4.
FIRST_SOUND = (0, 8, 6)


def test_the_database_has_a_pgvector_without_known_corruption() -> None:
    """The tag names its version, and docs tell which version a database of one's own needs."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    image = compose["services"]["postgres"]["image"]
    tag = re.fullmatch(r"pgvector/pgvector:(\d+)\.(\d+)\.(\d+)-pg18-trixie", image)

    assert tag is not None
    assert tuple(int(part) for part in tag.groups()) >= FIRST_SOUND
    assert f"pgvector {'.'.join(map(str, FIRST_SOUND))} or later" in (ROOT / "docs" / "README.md").read_text()
