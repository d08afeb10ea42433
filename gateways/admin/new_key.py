"""
Make an API key. The key is printed to stderr, and its entry of API_KEYS_FILE, which holds only a hash, to stdout.

    python -m gateways.admin new-key n8n --scopes read,write --requests-per-minute 600 >> keys.yaml
"""

from __future__ import annotations

import argparse
import hashlib
import secrets
import sys

from gateways.core.http.api_keys import SCOPES, Entry

PREFIX = "eg_"


def main() -> None:
    """Print the key to stderr, and its entry as a YAML list item to stdout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--scopes", default="read", help=f"one or more of {','.join(SCOPES)}")
    parser.add_argument("--requests-per-minute", type=int)
    parser.add_argument("--requests-per-day", type=int)
    arguments = parser.parse_args()
    key = PREFIX + secrets.token_urlsafe(32)
    try:
        entry = Entry(
            name=arguments.name,
            sha256=hashlib.sha256(key.encode()).hexdigest(),
            scopes=arguments.scopes.split(","),
            requests_per_minute=arguments.requests_per_minute,
            requests_per_day=arguments.requests_per_day,
        )
    except ValueError as error:
        raise SystemExit(str(error)) from None
    print(f"the key, which is shown only now: {key}", file=sys.stderr)
    print(f"  - name: {entry.name}\n    sha256: {entry.sha256}\n    scopes: [{', '.join(entry.scopes)}]")
    for limit in ("requests_per_minute", "requests_per_day"):
        if getattr(entry, limit):
            print(f"    {limit}: {getattr(entry, limit)}")


if __name__ == "__main__":
    main()
