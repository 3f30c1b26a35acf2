"""Parts of objects that nobody has validated: what should be a map and is not is an empty one.

A report says what it can of what it was given; what is wrong with an object, validation says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def part(value: Any, *fields: str) -> Mapping[str, Any]:
    """Return the map at *fields* below *value*; an empty one where there is none."""
    for field in fields:
        value = value.get(field) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def items(value: Any, *fields: str) -> list[Mapping[str, Any]]:
    """Return the maps in the list at *fields* below *value*."""
    *path, last = fields
    found = part(value, *path).get(last)
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []
