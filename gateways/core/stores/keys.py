"""Keys of passages, documents and texts. They are the same in every store."""

from __future__ import annotations

import uuid
from hashlib import blake2b

from gateways.core.stores.base import Passage

_NAMESPACE = uuid.UUID("6b1f6f0e-7f0a-5a53-9c63-0d6a6c9f2f51")


def passage_key(passage: Passage) -> uuid.UUID:
    """Return the key of a passage, which depends on its document and its number alone."""
    return uuid.uuid5(_NAMESPACE, f"{passage.number} {passage.document_id}")


def document_key(document_id: str) -> uuid.UUID:
    """Return the key of a document; its id may contain any character."""
    return uuid.uuid5(_NAMESPACE, document_id)


def first_passage_key(document_id: str) -> uuid.UUID:
    """Return the key of the first passage of a document."""
    return uuid.uuid5(_NAMESPACE, f"0 {document_id}")


def text_key(text: str) -> str:
    """Return the 128-bit hash of a text, as 32 hex digits. Lookups by it must compare the texts."""
    return blake2b(text.encode(), digest_size=16).hexdigest()
