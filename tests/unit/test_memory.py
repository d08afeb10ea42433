"""Pages that were read once and are not needed go; nothing in them is lost."""

from __future__ import annotations

import mmap
import re
import subprocess
import sys
from pathlib import Path

from gateways.core import memory

SIZE = 8 << 20


def resident_kib(path: Path) -> int:
    """The pages of a file that this process has mapped."""
    mappings = re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text())
    ours = [one for one in mappings if one.split("\n", 1)[0].endswith(str(path))]
    return sum(int(kib) for one in ours for kib in re.findall(r"^Rss: +(\d+) kB", one, re.M))


def test_only_the_pages_of_a_folder_are_unmapped_and_nothing_written_is_lost(tmp_path: Path) -> None:
    """Of two files that are mapped whole, the one in the folder has almost no page mapped afterwards."""
    inside, outside = tmp_path / "store" / "vectors", tmp_path / "storehouse"
    inside.parent.mkdir()
    maps = []
    for path in (inside, outside):
        path.write_bytes(bytes(SIZE))
        with path.open("r+b") as file:
            maps.append(mmap.mmap(file.fileno(), SIZE))
        maps[-1][:] = b"x" * SIZE
    assert resident_kib(inside) == resident_kib(outside) == SIZE >> 10
    memory.unmap_pages(inside.parent)
    assert resident_kib(inside) < (SIZE >> 10) // 8
    assert resident_kib(outside) == SIZE >> 10
    assert maps[0][:] == b"x" * SIZE


def test_a_server_process_does_without_pydantics_version_1() -> None:
    """Its routes and its description are made without any of it."""
    program = (
        "import gateways.core.server, sys, tempfile\n"
        "from gateways.core.gateway import Gateway\n"
        "from gateways.core.pseudo import PseudoBackend\n"
        "from gateways.core.settings import Settings\n"
        "settings = Settings(data_dir=tempfile.mkdtemp())\n"
        "app = gateways.core.server.create_app(Gateway('pseudo', PseudoBackend(), settings))\n"
        "assert app.openapi()['paths']['/v1/embeddings']\n"
        "assert not [name for name, module in sys.modules.items() if name.startswith('pydantic.v1') and module]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)  # noqa: S603  our own words
