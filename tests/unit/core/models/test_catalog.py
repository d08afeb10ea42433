"""Model files: ours, the RAG NLP engine's and the Unified Embedding API's, and what is said of a wrong one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateways.core.models.catalog import CatalogError, load

ROOT = Path(__file__).resolve().parents[4]
GOOD = """\
defaults:
  dense: small
models:
  small:
    kind: dense
    dimensions: 384
    max_input_tokens: 256
    aliases: [org/small]
  bm25:
    kind: sparse
    engine: bm25
"""


def written(folder: Path, text: str, name: str = "models.yaml") -> Path:
    """Write a model file."""
    path = folder / name
    path.write_text(text)
    return path


def refused(path: Path) -> str:
    """Return what is said of a wrong file."""
    with pytest.raises(CatalogError) as caught:
        load(path)
    return str(caught.value)


def test_names_and_defaults(tmp_path: Path) -> None:
    """An id, an alias, and nothing for the default of a kind, which is its first model where none is named."""
    catalogue = load(written(tmp_path, GOOD))

    assert [catalogue.resolve(name) for name in ("small", "org/small", "")] == ["small"] * 3
    assert catalogue.resolve("", "sparse") == "bm25"


@pytest.mark.parametrize(
    ("wrong", "right", "line", "words"),
    [
        ("kind: dense", "kind: dens", 5, ["models.small.kind", "'dense'"]),
        ("dimensions: 384", "dimensions: many", 6, ["models.small.dimensions", "integer"]),
        ("max_input_tokens: 256", "max_tokens: 256", 7, ["models.small.max_tokens", "not permitted"]),
        ("max_input_tokens: 256", "max_input_tokens: -1", 7, ["greater than 0"]),
        ("dense: small", "dense: big", 1, ["'big'", "not among the models"]),
        ("dense: small", "dense: bm25", 1, ["'bm25'", "sparse"]),
        ("[org/small]", "[org/small, bm25]", 1, ["'bm25' is a name of small and of bm25"]),
        ("[org/small]", "[]\n    stand_in: nobody", 1, ["models.small", "'nobody'"]),
        ("  bm25:", "  words:", 1, ["models.words", "bm25"]),
    ],
)
def test_a_wrong_file_is_told_with_its_line(
    tmp_path: Path, wrong: str, right: str, line: int, words: list[str]
) -> None:
    """One message: the file, the line, the place, and what is wrong there."""
    path = written(tmp_path, GOOD.replace(wrong, right))

    message = refused(path)

    assert f"{path}, line {line}: " in message
    assert all(word in message for word in words), message
    assert "\n" not in message


def test_a_file_that_is_no_yaml_is_told_with_its_line(tmp_path: Path) -> None:
    """The parser's own words have the line."""
    assert "line 4" in refused(written(tmp_path, GOOD.replace("  small:\n", "  small: : [\n")))


def test_a_missing_file_says_which_variable_to_set(tmp_path: Path) -> None:
    """MODELS_FILE is named."""
    assert "MODELS_FILE" in refused(tmp_path / "nowhere.yaml")


def test_the_rag_engines_file_chooses_the_defaults(tmp_path: Path) -> None:
    """`embeddings.default_model` and `reranker_model`, out of the catalogue that lies beside it."""
    written(tmp_path, (ROOT / "models.yaml").read_text())
    engine = """{"embeddings": {"default_model": "sentence-transformers/all-MiniLM-L6-v2",
        "reranker_model": "late-interaction", "batch_size": 32, "use_gpu": true}}"""

    catalogue = load(written(tmp_path, engine, "engine.json"))

    assert catalogue.defaults["dense"] == "all-MiniLM-L6-v2"
    assert catalogue.defaults["rerank"] == "late-interaction"
    assert "bm25" in catalogue.models


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        ('{"embeddings": {\n"default_model": 5}}', ["line 2", "embeddings.default_model"]),
        ('{"embeddings": {"default_model": "nobody"}}', ["nobody", "not in the catalogue"]),
        ('{"embeddings": {"default_model": "bm25"}}', ["bm25", "sparse"]),
        ('{"embeddings": {\n"default_model": "bm25",\n"batch": 5}}', ["line 3", "embeddings.batch"]),
    ],
)
def test_a_wrong_engine_file_is_told(tmp_path: Path, engine: str, words: list[str]) -> None:
    """The same clear errors."""
    written(tmp_path, (ROOT / "models.yaml").read_text())
    message = refused(written(tmp_path, engine, "engine.json"))

    assert all(word in message for word in words), message


def test_the_unified_apis_file_is_read_as_it_is(tmp_path: Path) -> None:
    """`{name, type}` per model, as that project documents it."""
    catalogue = load(
        written(
            tmp_path,
            """\
models:
  custom-dense:
    name: "sentence-transformers/all-MiniLM-L6-v2"
    type: "embeddings"
  custom-sparse:
    name: "prithivida/Splade_PP_en_v1"
    type: "sparse-embeddings"
  custom-reranker:
    name: "BAAI/bge-reranker-base"
    type: "rerank"
""",
        )
    )

    assert {name: entry.kind for name, entry in catalogue.models.items()} == {
        "custom-dense": "dense",
        "custom-sparse": "sparse",
        "custom-reranker": "rerank",
    }
    assert catalogue.resolve("BAAI/bge-reranker-base") == "custom-reranker"


def test_an_unknown_type_is_told_with_its_line(tmp_path: Path) -> None:
    """With the types there are."""
    message = refused(written(tmp_path, "models:\n  x:\n    name: org/x\n    type: images\n"))

    assert "line 2" in message
    assert "rerank" in message


@pytest.mark.parametrize(
    ("entry", "files", "revision", "pooling"),
    [
        (f"sources: [{{hub: org/small, revision: {'a' * 40}}}]", {"pooling_mode_cls_token": True}, "a" * 40, "cls"),
        ("sources: [{hub: org/small, revision: main}]", {"pooling_mode_mean_tokens": True}, None, "mean"),
        ("pooling: last", {"pooling_mode_mean_tokens": True}, None, "last"),
        ("licence: MIT", {"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}, None, None),
        ("licence: MIT", None, None, None),
    ],
)
def test_a_model_tells_what_makes_its_vectors(
    tmp_path: Path, entry: str, files: dict[str, bool] | None, revision: str | None, pooling: str | None
) -> None:
    """Its revision is a commit of its hub; its pooling is the catalogue's, or the only one in its files."""
    folder = tmp_path / "small"
    (folder / "1_Pooling").mkdir(parents=True)
    for name in ("tokenizer.json", "weights"):
        (folder / name).touch()
    if files:
        (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 384} | files))
    catalogue = load(written(tmp_path, GOOD.replace("aliases: [org/small]", entry)))

    info = catalogue.locate(tmp_path, "small", "weights", precision="int8", device="cpu").info

    assert (info.revision, info.pooling, info.precision) == (revision, pooling, "int8")


@pytest.mark.parametrize("name", ["../small", "a/../../small", "/etc", "a//b", "..", "a/.", "~", "a\\\\b", "a b", ""])
def test_an_id_is_no_way_out_of_the_folder(tmp_path: Path, name: str) -> None:
    """A file of models from elsewhere must not make `make models` write, or a gateway read, outside of MODELS_DIR."""
    path = written(tmp_path, GOOD.replace("  small:", f'  "{name}":').replace("dense: small", f'dense: "{name}"'))

    assert "an id names a folder below MODELS_DIR" in refused(path)


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "org/model.v2", "Splade_PP_en_v1", "model:latest", "a@b+c"])
def test_an_id_may_be_a_name_of_a_hub(tmp_path: Path, name: str) -> None:
    """With the name of its owner before a slash."""
    path = written(tmp_path, GOOD.replace("  small:", f"  {name}:").replace("dense: small", f"dense: {name}"))

    assert load(path).resolve("") == name
