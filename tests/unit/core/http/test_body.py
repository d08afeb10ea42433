"""Reading a body: how many values it may have, and how many bytes may be at work at once."""

from __future__ import annotations

import pytest

from gateways.core.errors import Overloaded, TooLarge
from gateways.core.http.body import MAX_VALUES, UNCOUNTED_BYTES, BodyBudget, check_value_count

LARGE = UNCOUNTED_BYTES + 1


@pytest.mark.parametrize("value", [b"1", b"[]", b"{}", b'"a"'])
def test_too_many_values_are_refused(value: bytes) -> None:
    """Of any kind; a list of as many as may come is let through."""
    check_value_count(b"[" + b",".join([value] * (MAX_VALUES // 2)) + b"]")
    with pytest.raises(TooLarge, match=str(MAX_VALUES)):
        check_value_count(b"[" + b",".join([value] * (MAX_VALUES + 1)) + b"]")


def test_the_values_of_objects_count() -> None:
    """A million keys are as many values."""
    with pytest.raises(TooLarge):
        check_value_count(b"{" + b",".join(b'"%d":1' % number for number in range(MAX_VALUES + 2)) + b"}")


@pytest.mark.parametrize("text", [b"1,2,[{", rb"\", ", rb"\\\",", rb"\\, "])
def test_commas_and_brackets_in_texts_do_not_count(text: bytes) -> None:
    """A table of numbers may be a document, quotes and backslashes included."""
    check_value_count(b'{"text": "' + text * MAX_VALUES + b'"}')


def test_values_after_a_text_with_an_escaped_backslash_count() -> None:
    r"""The quote of `"\\"` ends the text: what follows is outside of it."""
    with pytest.raises(TooLarge):
        check_value_count(rb'["\\", ' + b"1," * (MAX_VALUES + 1) + rb'"\\"]')


def test_large_bodies_share_a_budget() -> None:
    """A body that does not fit beside those at work is refused by the setting's name, and fits after them."""
    budget = BodyBudget(3 * LARGE)
    with budget.lease() as first, budget.lease() as second:
        first.grow(2 * LARGE)
        second.grow(LARGE)
        with budget.lease() as third, pytest.raises(Overloaded, match="MAX_BODIES_BYTES") as refusal:
            third.grow(LARGE)
        assert refusal.value.headers() == {"Retry-After": "1"}
    with budget.lease() as last:
        last.grow(3 * LARGE)

    assert budget.used_bytes == 0


def test_a_body_is_counted_as_it_grows() -> None:
    """Without a Content-Length a body is counted chunk by chunk, each byte once."""
    budget = BodyBudget(3 * LARGE)
    with budget.lease() as lease:
        for size in (1, LARGE, LARGE, 2 * LARGE):
            lease.grow(size)
        assert budget.used_bytes == 2 * LARGE


def test_small_bodies_pass_a_full_budget() -> None:
    """A query is read while large bodies fill the budget."""
    budget = BodyBudget(LARGE)
    with budget.lease() as large, budget.lease() as small:
        large.grow(LARGE)
        small.grow(UNCOUNTED_BYTES)

        assert budget.used_bytes == LARGE
