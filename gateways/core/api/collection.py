"""The name of a collection, as bodies and query strings carry it."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from fastapi import Query
from pydantic import StringConstraints

# It names a folder: no dots, no slashes.
PATTERN = r"^[A-Za-z0-9_-]{1,64}$"

Collection: TypeAlias = Annotated[str, StringConstraints(pattern=PATTERN)]
COLLECTION: TypeAlias = Annotated[str, Query(pattern=PATTERN)]
