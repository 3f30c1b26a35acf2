"""Mappings that change a little: told apart by identity, copied only when an entry is another."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from itertools import compress
from typing import Generic, TypeVar

T = TypeVar("T")


class Overlay(Generic[T]):
    """Changes on their way into a mapping that others hold, and so must stay as it is."""

    def __init__(self, base: Mapping[str, T]) -> None:
        self._base = base
        self._changes: dict[str, T | None] = {}

    def put(self, name: str, item: T | None) -> None:
        """*item* stands under *name* from now on; None: nothing does."""
        self._changes[name] = item

    def renew(self, name: str, item: T | None) -> None:
        """As `put`, but what stood there at first stays if it is equal."""
        first = self._base.get(name)
        self._changes[name] = first if first == item else item

    def get(self, name: str) -> T | None:
        """Return what stands under *name* by now."""
        return self._changes[name] if name in self._changes else self._base.get(name)

    def changed(self) -> set[str]:
        """Return the names under which another object stands than at first."""
        return {name for name, new in self._changes.items() if self._base.get(name) is not new}

    def result(self) -> Mapping[str, T]:
        """Return the mapping with the changes: the one of before, when nothing is another."""
        changed = self.changed()
        if not changed:
            return self._base
        merged = dict(self._base)
        for name in changed:
            new = self._changes[name]
            if new is None:
                del merged[name]
            else:
                merged[name] = new
        return merged


class Union(Generic[T]):
    """Mappings of different names seen as one."""

    def __init__(self) -> None:
        self._parts: tuple[Mapping[str, T], ...] = ()
        self._merged: Mapping[str, T] = {}

    def merged(self, parts: tuple[Mapping[str, T], ...]) -> Mapping[str, T]:
        """Return all of *parts*; the mapping of before when they are the same objects."""
        same = len(parts) == len(self._parts) and all(map(operator.is_, parts, self._parts))
        if not same:
            self._parts = parts
            merged: dict[str, T] = {}
            for part in parts:
                merged.update(part)
            self._merged = merged
        return self._merged


def changed_keys(old: Mapping[str, T], new: Mapping[str, T]) -> list[str]:
    """Return the keys under which *old* and *new* have different objects, or only one has any."""
    if old is new:
        return []
    if len(old) == len(new) and all(map(operator.is_, old, new)):
        # The same keys in the same order, as in a copy with an entry replaced: no look-ups.
        return list(compress(new, map(operator.is_not, old.values(), new.values())))
    changed = [key for key, item in new.items() if old.get(key) is not item]
    come = sum(key not in old for key in changed)
    if len(new) - come < len(old):
        changed += [key for key in old if key not in new]
    return changed
