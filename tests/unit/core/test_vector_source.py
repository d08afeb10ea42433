"""The source of vectors: what differs, what is unknown, and what is read of other versions."""

from __future__ import annotations

import dataclasses

import orjson

from gateways.core.backend import UNKNOWN_PRECISION, ModelInfo
from gateways.core.profiles import Chunking, Profile, parse_profile
from gateways.core.scoring import bm25
from gateways.core.vector_source import VectorSource, describe_differences, parse_source, source_of

COMMIT = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
DENSE = ModelInfo("tiny", "dense", 4, 8, precision="int8", revision=COMMIT, pooling="mean")
SOURCE = VectorSource("int8", COMMIT, "mean", "", "exact")


def test_models_have_a_source() -> None:
    """The dense model gives precision, revision, pooling and document prompt; a service may tell nothing."""
    prompts = (("query", "ask: "), ("document", "read: "))
    silent = ModelInfo("tiny", "dense", 4, 8, precision=UNKNOWN_PRECISION, prompts=prompts)

    assert source_of(DENSE, bm25.INFO) == SOURCE
    assert source_of(silent, None) == VectorSource(document_prompt="read: ")


def test_only_known_fields_differ() -> None:
    """A field that one of the two does not know is no difference."""
    other = VectorSource(precision="fp32", pooling="cls", document_prompt="read: ")

    assert SOURCE.differences(SOURCE) == VectorSource().differences(SOURCE) == {}
    assert SOURCE.differences(other) == {
        "precision": ("int8", "fp32"),
        "pooling": ("mean", "cls"),
        "document_prompt": ("", "read: "),
    }
    assert describe_differences(SOURCE, other) == (
        "precision int8, pooling mean, document prompt ''",
        "precision fp32, pooling cls, document prompt 'read: '",
    )


def test_profiles_of_other_versions_are_read() -> None:
    """Without a source, it is unknown. Fields of a later version are ignored, in the profile and in the source."""
    profile = Profile("tiny", 4, "bm25", chunk=Chunking(64, 8), vector_source=SOURCE)
    fields = orjson.loads(orjson.dumps(profile))

    assert parse_profile(fields) == parse_profile(fields | {"later": 1}) == profile
    assert parse_profile(profile.fields_without_source()) == dataclasses.replace(profile, vector_source=None)
    assert parse_source({"precision": "int8", "later": 1}) == VectorSource("int8")
