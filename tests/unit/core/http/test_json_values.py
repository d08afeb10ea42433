"""Metadata and filters: an integer is exact, or it is refused; and objects are not nested too deep."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateways.core.api.ingest import IngestRequest
from gateways.core.api.search import SearchRequest
from gateways.core.errors import InvalidRequest
from gateways.core.http.json_route import parse


def metadata_of(number: str) -> Any:
    """Return the metadata of a document in which a client wrote a number."""
    body = f'{{"documents": [{{"text": "order 7", "metadata": {{"order": {{"no": [{number}]}}}}}}]}}'
    return parse(IngestRequest, body.encode()).documents[0].metadata["order"]["no"][0]


@pytest.mark.parametrize(
    "number",
    ["18446744073709551615", "-9223372036854775808", "9007199254740993", "1e300", "1.5e19", "100000000000000000000"],
)
def test_a_number_that_is_kept_exactly_is_accepted(number: str) -> None:
    """Up to 64 bits; floating point, and integers beyond that have no digit to lose."""
    assert metadata_of(number) == (int(number) if number.lstrip("-").isdigit() else float(number))


@pytest.mark.parametrize("number", ["18446744073709551617", "-9223372036854775809", "123456789012345678901234567890"])
def test_an_integer_beyond_64_bits_is_refused(number: str) -> None:
    """With the number, its place, and what to do instead: 2^64 + 1 would come back as 1.8446744073709552e+19."""
    with pytest.raises(InvalidRequest, match=f"documents.0.metadata has the number {number}, .*as a text") as refusal:
        metadata_of(number)
    assert refusal.value.code == "inexact_number"


def test_a_filter_is_not_rounded_either() -> None:
    """It would find the documents of another number."""
    with pytest.raises(InvalidRequest, match="filter has the number 18446744073709551617"):
        parse(SearchRequest, b'{"query": "x", "filter": {"order": 18446744073709551617}}')


def test_digits_in_a_text_are_no_number() -> None:
    """Beside a large number of floating point."""
    body = b'{"documents": [{"text": "18446744073709551617", "metadata": {"n": 1e20, "m": "18446744073709551617"}}]}'

    assert parse(IngestRequest, body).documents[0].metadata["n"] == 1e20


@pytest.mark.parametrize(("depth", "accepted"), [(32, True), (33, False)])
def test_metadata_is_nested_32_deep_at_most(depth: int, accepted: bool) -> None:
    """Lists count as objects do."""
    metadata: Any = "inside"
    for level in range(depth):
        metadata = [metadata] if level % 2 == 0 and level < depth - 1 else {"deeper": metadata}
    body = orjson.dumps({"documents": [{"text": "x", "metadata": metadata}]})
    if accepted:
        assert parse(IngestRequest, body).documents[0].metadata == metadata
        return
    with pytest.raises(InvalidRequest, match=r"^documents\.0\.metadata is nested more than 32 deep\.$") as refusal:
        parse(IngestRequest, body)
    assert refusal.value.code == "too_deep"
