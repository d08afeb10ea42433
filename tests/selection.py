"""Which of the collected tests run: by GATEWAYS, by what a gateway is made without, and by how long they take."""

from __future__ import annotations

import os
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SHAPES = ("python", "onnx_py", "split", "pseudo")
# Contract tests that only `make test-all` runs on some gateways: (test file or test, gateways, reason).
# `python` shares its HTTP, jobs and stores with the others: there `make test` asks what depends on the model.
OF_THE_CORE = "the same code answers on onnx_py and pseudo, without this gateway's model"
LONG_LISTS = "thousands of texts: onnx_py and pseudo show that lists keep their order"
SLOW: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("contract/test_invalid.py", ("python",), OF_THE_CORE),
    ("contract/test_filter.py", ("python",), OF_THE_CORE),
    ("contract/test_dialect_errors.py", ("python",), OF_THE_CORE),
    ("contract/test_collections.py", ("python",), OF_THE_CORE),
    ("contract/test_documents.py", ("python",), OF_THE_CORE),
    ("contract/test_ingest.py", ("python",), OF_THE_CORE),
    ("contract/test_jobs.py", ("python",), OF_THE_CORE),
    ("contract/test_openapi.py", ("python",), OF_THE_CORE),
    ("conformance/test_openai_errors.py", ("python",), OF_THE_CORE),
    ("conformance/test_tei_errors.py", ("python",), OF_THE_CORE),
    ("contract/test_embeddings.py::test_the_full_list_of_2048_texts", ("python", "split"), LONG_LISTS),
    ("conformance/test_openai.py::test_2048_inputs", ("python", "split"), LONG_LISTS),
    (
        "contract/test_rerank.py::test_a_score_does_not_depend_on_the_other_documents",
        ("python", "split"),
        "122 documents: onnx_py and pseudo show that a score is the pair's own",
    ),
)
REPORT = pytest.StashKey[list[str]]()


def shapes() -> list[str]:
    """Return the gateways this session is about: GATEWAYS, or all four."""
    names = os.environ.get("GATEWAYS", ",".join(SHAPES)).replace(" ", "").split(",")
    unknown = set(names) - set(SHAPES)
    if unknown:
        raise pytest.UsageError(f"GATEWAYS names {sorted(unknown)}; there are {', '.join(SHAPES)}")
    return names


def deselect(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what GATEWAYS does not name and what a gateway is made without; keep two lines about both."""
    absent = set(SHAPES) - set(shapes())
    unwanted = [item for item in items if absent & set(gateways(item))]
    lacking = [item for item in items if item not in set(unwanted) and lacks(item)]
    config.stash[REPORT] = [*_left_out(absent, unwanted), *_without(lacking)]
    dropped = {*unwanted, *lacking}
    if dropped:
        config.hook.pytest_deselected(items=list(dropped))
        items[:] = [item for item in items if item not in dropped]


def gateways(item: pytest.Item) -> Iterator[str]:
    """Yield the gateways a test starts: those of its marker `gateway`, and a parameter that is one's name."""
    for marker in item.iter_markers("gateway"):
        yield from marker.args
    for value in parameters(item).values():
        if isinstance(value, str) and value in SHAPES:
            yield value


def parameters(item: pytest.Item) -> dict[str, object]:
    """Return the parameters a test is collected with."""
    return dict(item.callspec.params) if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}


def lacks(item: pytest.Item) -> set[str]:
    """Return what a contract test requires and its gateway is made without, as allowed_skips.toml says."""
    needed = {name for marker in item.iter_markers("requires") for name in marker.args}
    if not needed:
        return set()
    lists: dict[str, dict[str, str]] = tomllib.loads((TESTS / "contract" / "allowed_skips.toml").read_text())
    return needed & lists.get(str(parameters(item).get("target")), {}).keys()


def mark_slow(items: Iterable[pytest.Item]) -> None:
    """Give the marker `slow` to what the table above names."""
    for item in items:
        path, target = item.nodeid.removeprefix("tests/"), parameters(item).get("target")
        for prefix, names, reason in SLOW:
            if target in names and path.startswith(prefix):
                item.add_marker(pytest.mark.slow(reason))


def _left_out(absent: set[str], items: list[pytest.Item]) -> Iterator[str]:
    if absent:
        files = Counter(item.nodeid.partition("::")[0] for item in items)
        which = ", ".join(f"{file} {count}" for file, count in sorted(files.items())) or "none of these files"
        yield f"GATEWAYS leaves out {', '.join(sorted(absent))}; tests of theirs: {which}"


def _without(items: list[pytest.Item]) -> Iterator[str]:
    names = sorted({name for item in items for name in lacks(item)})
    if names:
        yield f"contract/allowed_skips.toml leaves out {len(items)} tests of {', '.join(names)}"
