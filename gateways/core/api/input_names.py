"""The client's name of an input, in errors that a backend raises about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gateways.core.errors import InvalidInput


@contextmanager
def name_inputs(field: str, *, single: bool = False) -> Iterator[None]:
    """
    Name an input by its field of the request in an InvalidInput, as message and `param` of a new one.

    The name is `field` for a `single` input, else `field.<index>`.
    """
    try:
        yield
    except InvalidInput as error:
        # The error may be shared: requests for the same text wait for one embedding.
        raise error.named(field if single else f"{field}.{error.item}") from error
