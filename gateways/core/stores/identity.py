"""What a passage is known by in every store, so that the same one is always the same row or point."""

from __future__ import annotations

import uuid
from hashlib import blake2b

from gateways.core.stores.base import Passage

_NAMESPACE = uuid.UUID("6b1f6f0e-7f0a-5a53-9c63-0d6a6c9f2f51")


def passage_key(one: Passage) -> uuid.UUID:
    """Return the key of a passage: the same document and number give the same one."""
    return uuid.uuid5(_NAMESPACE, f"{one.number} {one.document_id}")


def document_key(document_id: str) -> uuid.UUID:
    """Return the key of a document, whatever signs its id is made of."""
    return uuid.uuid5(_NAMESPACE, document_id)


def text_key(text: str) -> str:
    """Return the key by which passages with this text are looked up, give or take a collision: 32 hex digits."""
    return blake2b(text.encode(), digest_size=16).hexdigest()
