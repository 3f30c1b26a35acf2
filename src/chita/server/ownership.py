"""Field ownership (``metadata.managedFields``)."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chita.server.request import Part
    from chita.store.store import Object


class Operation(StrEnum):
    """How a manager came to own fields."""

    APPLY = "Apply"
    UPDATE = "Update"


def track(old: Object, new: Object, *, manager: str, operation: Operation, part: Part) -> Object:
    """Return *new*."""
    return new
