"""One step of a migration: what to do, what it changes, and the way back from it."""

from __future__ import annotations

import msgspec


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """Something that people do, in order."""

    title: str
    commands: tuple[str, ...]
    effect: str
    """What of the traffic notices it."""
    back: tuple[str, ...] = ()
    """What undoes it; the steps after it are undone before. Empty: there is nothing to undo."""
