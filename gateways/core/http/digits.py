"""Numbers in headers, where a client may send thousands of digits."""

from __future__ import annotations

# More digits than any size in bytes or time in milliseconds has.
MAX_DIGITS = 18


def parse_digits(value: bytes) -> int | None:
    """Return a number written in digits, at most 10^18; None if `value` is none."""
    if not value.isdigit():
        return None
    digits = value.lstrip(b"0")
    return int(digits or b"0") if len(digits) <= MAX_DIGITS else 10**MAX_DIGITS
