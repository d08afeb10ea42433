"""An error about an input has the client's name of it, once, in the message and in `param`."""

from __future__ import annotations

import pytest

from gateways.core.api.input_names import name_inputs
from gateways.core.errors import InvalidInput, InvalidRequest

FAULT = "has 300 input tokens."


@pytest.mark.parametrize(
    ("field", "single", "offset", "name"),
    [
        ("input", False, None, "input.3"),
        ("texts", False, None, "texts.3"),
        ("input", True, None, "input"),
        ("inputs", False, 5, "inputs.3.5"),
        ("inputs", True, 5, "inputs.5"),
    ],
)
def test_an_input_is_called_as_the_client_calls_it(field: str, single: bool, offset: int | None, name: str) -> None:
    """By its index in a list, by the field alone for a single input; the rest of the message stays."""
    with pytest.raises(InvalidRequest) as refused, name_inputs(field, single=single):
        raise InvalidInput(FAULT, code="context_length_exceeded", item=3, offset=offset)

    assert refused.value.param == name
    assert refused.value.message == f"{name} {FAULT}"
    assert refused.value.code == "context_length_exceeded"


def test_an_error_that_two_requests_share_is_named_for_each() -> None:
    """Requests for one text wait for one embedding, and get one error."""
    shared = InvalidInput(FAULT, code="context_length_exceeded", item=0)

    for field in ("inputs", "input"):
        with pytest.raises(InvalidRequest) as refused, name_inputs(field, single=True):
            raise shared
        assert refused.value.message == f"{field} {FAULT}"


def test_another_error_passes_as_it_is() -> None:
    """An error about something else than an input has its own name."""
    error = InvalidRequest("input is not the subject.", param="truncate")

    with pytest.raises(InvalidRequest) as refused, name_inputs("texts"):
        raise error

    assert refused.value is error
