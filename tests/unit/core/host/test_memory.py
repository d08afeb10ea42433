"""Memory that was needed for a while goes back; nothing in it is lost."""

from __future__ import annotations

import gc
import mmap
import re
import subprocess
import sys
import weakref
from pathlib import Path

from gateways.core.host import memory

SIZE = 8 << 20


def resident_kib(path: Path) -> int:
    """The pages of a file that this process has mapped."""
    mappings = re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text())
    file_mappings = [mapping for mapping in mappings if mapping.split("\n", 1)[0].endswith(str(path))]
    return sum(int(kib) for mapping in file_mappings for kib in re.findall(r"^Rss: +(\d+) kB", mapping, re.M))


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


def test_a_server_process_does_without_pydantics_version_1_and_command_lines() -> None:
    """Its routes and its description are made without any of them."""
    program = (
        "import gateways.core.app.server, sys, tempfile\n"
        "from gateways.core.gateway import Gateway\n"
        "from gateways.core.inference.pseudo_backend import PseudoBackend\n"
        "from gateways.core.process_settings import ThinGatewaySettings\n"
        "settings = ThinGatewaySettings(data_dir=tempfile.mkdtemp())\n"
        "app = gateways.core.app.server.create_app(Gateway('pseudo', PseudoBackend(), settings))\n"
        "assert app.openapi()['paths']['/v1/embeddings']\n"
        "loaded = [name for name, module in sys.modules.items() if module]\n"
        "assert not [name for name in loaded if name.startswith(('pydantic.v1', 'click', 'multiprocessing'))]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)  # noqa: S603  our own words


def test_a_server_returns_what_was_taken_and_let_go() -> None:
    """Though something that lives on lies behind it, and though it is never idle."""
    program = (
        "import asyncio, re, time\n"
        "from pathlib import Path\n"
        "from gateways.core.host import memory\n"
        "memory.tune_malloc(1)\n"
        "memory.TRIM_EVERY_S = 0.1\n"
        "def held_mib():\n"
        "    return int(re.search(r'RssAnon:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) / 1024\n"
        "async def main():\n"
        "    before = held_mib()\n"
        "    large = [bytearray(b'x' * (1 << 20)) for _ in range(64)]\n"
        "    kept = large.pop()\n"
        "    large.clear()\n"
        "    assert held_mib() > before + 32, 'nothing was held: this shows nothing'\n"
        "    trimming = asyncio.create_task(memory.keep_trimmed())\n"
        "    deadline = time.monotonic() + 10\n"
        "    while held_mib() > before + 8 and time.monotonic() < deadline:\n"
        "        await asyncio.sleep(0)\n"
        "    assert held_mib() <= before + 8, held_mib() - before\n"
        "    trimming.cancel()\n"
        "    return kept\n"
        "asyncio.run(main())\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)  # noqa: S603  our own words


def test_giving_back_finds_the_garbage_among_what_a_server_settled_with() -> None:
    """A model that was loaded before the server was ready is not kept by its own circles when it is unloaded."""

    class Circle:
        """Refers to itself."""

        def __init__(self) -> None:
            self.itself = self

    circle = Circle()
    seen = weakref.ref(circle)
    memory.settle()
    try:
        del circle
        gc.collect()
        assert seen() is not None
        memory.give_back()
        assert seen() is None
    finally:
        gc.unfreeze()
