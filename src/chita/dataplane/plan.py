"""The one diff that every applier uses: what to put and what to remove.

An applier reads what the kernel holds, plans, and applies; when *desired* and *actual* are equal
there is nothing to do, so a restarted agent that finds its own work writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

import msgspec

from chita.errors import KernelError

K = TypeVar("K")
V = TypeVar("V")


class Plan(msgspec.Struct, Generic[K, V], frozen=True):
    """The way from an actual state to a desired one. False when they are equal."""

    put: dict[K, V]
    """What is missing or different, in the order of *desired*: referents first."""
    remove: tuple[K, ...]

    def __bool__(self) -> bool:
        return bool(self.put or self.remove)


class Entries(Protocol[K, V]):
    """A table of the kernel with one value to a key, or its fake."""

    def read(self) -> dict[K, V]:
        """Return all entries."""

    def put(self, key: K, value: V, /) -> None:
        """Make *value* the one of *key*."""

    def remove(self, key: K, /) -> None:
        """Remove the entry; one that is not there is removed already."""


def plan(desired: Mapping[K, V], actual: Mapping[K, V | object]) -> Plan[K, V]:
    """Return what turns *actual* into *desired*.

    A value of *actual* may be of a type that is never desired (what somebody else put there); it
    is replaced or removed as any value that differs.
    """
    put = {
        key: value for key, value in desired.items() if key not in actual or actual[key] != value
    }
    return Plan(put, tuple(key for key in actual if key not in desired))


def apply(
    changes: Plan[K, V], put: Callable[[K, V], object], remove: Callable[[K], object]
) -> dict[K, KernelError]:
    """Carry out *changes*; return what the kernel refused, by key.

    Puts come first: what moves is never missing. One refusal does not stop the rest; the caller
    tries again while the result is not empty.
    """
    refused: dict[K, KernelError] = {}
    for key, value in changes.put.items():
        try:
            put(key, value)
        except KernelError as error:
            refused[key] = error
    for key in changes.remove:
        try:
            remove(key)
        except KernelError as error:
            refused[key] = error
    return refused


def sync(desired: Mapping[K, V], entries: Entries[K, V]) -> dict[K, KernelError]:
    """Make *entries* hold exactly *desired*; return what the kernel refused, by key.

    Raises:
        KernelError: they could not be read.
    """
    return apply(plan(desired, entries.read()), entries.put, entries.remove)
