"""
Make an API key. The key is printed to stderr, and its entry of API_KEYS_FILE, which holds only a hash, to stdout.

    python -m gateways.admin new-key n8n --scopes read,write --requests-per-minute 600 >> keys.yaml
"""

from __future__ import annotations

import argparse
import hashlib
import json
import secrets
import sys

from pydantic import ValidationError

from gateways.core.http.api_keys import SCOPES, Entry
from gateways.core.http.body_errors import describe

PREFIX = "eg_"


def main() -> None:
    """Print the key to stderr, and its entry as a YAML list item to stdout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--scopes", default="read", help=f"one or more of {','.join(SCOPES)}")
    parser.add_argument("--collections", help="the collections that it may use, such as handbook,n8n-*; default: all")
    parser.add_argument("--requests-per-minute", type=int)
    parser.add_argument("--requests-per-day", type=int)
    arguments = parser.parse_args()
    scopes = [scope.strip() for scope in arguments.scopes.split(",")]
    if unknown := [scope for scope in scopes if scope not in SCOPES]:
        raise SystemExit(f"Scope {unknown[0]!r} is unknown; choose from {', '.join(SCOPES)}.")
    key = PREFIX + secrets.token_urlsafe(32)
    try:
        entry = Entry(
            name=arguments.name,
            sha256=hashlib.sha256(key.encode()).hexdigest(),
            scopes=[scope for scope in SCOPES if scope in scopes],
            collections=arguments.collections.split(",") if arguments.collections else None,
            requests_per_minute=arguments.requests_per_minute,
            requests_per_day=arguments.requests_per_day,
        )
    except ValidationError as error:
        wrong = error.errors()[0]
        raise SystemExit(f"{wrong['loc'][0]} {describe(wrong)}.") from None
    print(f"the key, which is shown only now: {key}", file=sys.stderr)
    print(f"  - name: {entry.name}\n    sha256: {entry.sha256}\n    scopes: [{', '.join(entry.scopes)}]")
    if entry.collections:
        print(f"    collections: {json.dumps(entry.collections)}")
    for limit in ("requests_per_minute", "requests_per_day"):
        if getattr(entry, limit):
            print(f"    {limit}: {getattr(entry, limit)}")


if __name__ == "__main__":
    main()
