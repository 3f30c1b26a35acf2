"""Compare-and-swap: read, change, write, and again when somebody else wrote first."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from chita.errors import ConflictError
from chita.ipam.objects import T
from chita.ipam.store import BlockStore, Held

R = TypeVar("R")

ATTEMPTS = 100
"""Writes that may be lost before giving up (Calico's bound)."""

Pause = Callable[[int], Awaitable[None]]
"""Waits before another attempt, given how many were lost."""


async def jittered_pause(lost: int) -> None:
    """Wait up to 2 ms after the first lost write, up to 100 ms after many: racers spread out."""
    await asyncio.sleep(random.uniform(0, min(0.002 * 2**lost, 0.1)))


async def swap(  # noqa: PLR0913 - one operation, spelled once for every caller
    store: BlockStore,
    kind: type[T],
    name: str,
    change: Callable[[T], tuple[T, R] | None],
    *,
    pause: Pause,
    known: Held[T] | None = None,
) -> tuple[Held[T], R] | None:
    """Replace the value *name* by what *change* makes of it; return the result and its answer.

    *known*, the value as last seen, spares the first read: a stale one only costs an attempt.
    None when the value does not exist, or *change* finds nothing to do (returns None). Writes
    nothing when *change* returns the value itself.

    Raises:
        ConflictError: `ATTEMPTS` writes were lost.
    """
    for lost in range(ATTEMPTS):
        held = known if known is not None else await store.get(kind, name)
        known = None
        changed = change(held.value) if held is not None else None
        if held is None or changed is None:
            return None
        value, answer = changed
        if value is held.value:
            return held, answer
        try:
            return await store.update(held, value), answer
        except ConflictError:
            await pause(lost)
    raise ConflictError(f"write {kind.__name__} {name}: {ATTEMPTS} attempts lost to other writers")
