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

    *known*, the value as last seen, spares the first read. It may be stale: a write from it then
    fails and costs an attempt, and that there is nothing to do is only believed of a fresh read.
    None when the value does not exist, or *change* finds nothing to do (returns None). Writes
    nothing when *change* returns the value itself.

    Raises:
        ConflictError: `ATTEMPTS` writes were lost.
    """
    held, is_fresh = known, False
    for lost in range(ATTEMPTS):
        changed = change(held.value) if held is not None else None
        if held is None or changed is None or changed[0] is held.value:
            if is_fresh:
                return None if held is None or changed is None else (held, changed[1])
            held, is_fresh = await store.get(kind, name), True
            continue
        try:
            return await store.update(held, changed[0]), changed[1]
        except ConflictError:
            await pause(lost)
            held, is_fresh = await store.get(kind, name), True
    raise ConflictError(f"write {kind.__name__} {name}: {ATTEMPTS} attempts lost to other writers")
