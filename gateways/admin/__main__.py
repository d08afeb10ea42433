"""Run a command for operators: `python -m gateways.admin <verb>`. Each verb is a module of this folder."""

from __future__ import annotations

import importlib
import io
import sys

VERBS = {
    "new-key": "make an API key; the file of keys holds only its hash",
    "reindex": "build the vector store again from the job journal",
    "compact": "erase from the job journal what was deleted or replaced",
    "snapshot": "save DATA_DIR to one file while a gateway serves or not, check it, restore it",
    "migrate-store": "copy all collections from one store to another",
    "bulk-embed": "embed a corpus on all cores of this machine, or of a Ray cluster",
    "bulk-load": "load the output of bulk-embed into a store",
}
# The extra of pyproject.toml that installs a package.
EXTRAS = {"ray": "bulk", "pyarrow": "bulk", "psycopg": "pgvector", "qdrant_client": "qdrant"}


def main() -> None:
    """Run one verb. Exits with 2 for an unknown verb, and with 1 if a package is missing."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a path or a name may have what the terminal cannot show
    verb, *arguments = sys.argv[1:] or ["--help"]
    if verb in ("-h", "--help"):
        print(_help_text())
        return
    if verb not in VERBS:
        print(f"{verb!r} is not a verb of gateways.admin.\n\n{_help_text()}", file=sys.stderr)
        raise SystemExit(2)
    sys.argv = [f"python -m gateways.admin {verb}", *arguments]
    try:
        importlib.import_module(f"gateways.admin.{verb.replace('-', '_')}").main()
    except ModuleNotFoundError as absent:
        extra = EXTRAS.get(str(absent.name).partition(".")[0])
        if extra is None:
            raise
        raise SystemExit(
            f"{verb} needs the package {absent.name}: pip install 'embedding-gateways[{extra}]'"
        ) from None


def _help_text() -> str:
    lines = [f"  {verb:15}{text}" for verb, text in VERBS.items()]
    return "\n".join(
        ["usage: python -m gateways.admin <verb> [options]", "", *lines, "", "<verb> --help has the options."]
    )


if __name__ == "__main__":
    main()
