"""Where blocks, affinities and handles are kept: compare-and-swap by version, nothing else.

`memory.MemoryBlockStore` is the fake; ``mirror.block_store`` adapts the API client. One contract
suite runs on both (tests/contract/test_block_store.py).
"""

from __future__ import annotations

from typing import Generic, Protocol

import msgspec

from chita.ipam.configuration import IPAMConfiguration
from chita.ipam.objects import T


class Held(msgspec.Struct, Generic[T], frozen=True):
    """A stored value as it was read or written, with what proves that it is still so."""

    value: T
    version: str


class BlockStore(Protocol):
    """Named values with compare-and-swap; each call is one round trip.

    It may be lost half-way: after any error but the named ones it is unknown whether a write
    happened.
    """

    async def configuration(self) -> IPAMConfiguration:
        """Return the configuration in force now."""

    async def get(self, kind: type[T], name: str) -> Held[T] | None:
        """Return the value *name* of *kind*, or None."""

    async def list(self, kind: type[T], *, node: str | None = None) -> list[Held[T]]:
        """Return all of *kind*; with *node*, only the affinities of that node."""

    async def create(self, value: T) -> Held[T]:
        """Store *value* under its name.

        Raises:
            ConflictError: the name is taken.
        """

    async def update(self, held: Held[T], value: T) -> Held[T]:
        """Replace *held* by *value*, of the same name.

        Raises:
            ConflictError: it has changed since *held*, or is gone.
        """

    async def delete(self, held: Held[T]) -> None:
        """Remove *held*; nothing happens when it is gone.

        Raises:
            ConflictError: it has changed since *held*.
        """
