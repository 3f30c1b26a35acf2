"""JSON merge patch (RFC 7396)."""

from __future__ import annotations

from typing import Any


def merge(value: Any, patch: Any) -> Any:
    """Return *value* with *patch* merged in: section 2's algorithm, on fresh objects."""
    if not isinstance(patch, dict):
        return patch
    result = dict(value) if isinstance(value, dict) else {}
    for key, change in patch.items():
        if change is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), change)
    return result
