"""Remembered: results kept as long as what they follow from is the same.

With a thousand nodes a change touches few of them, and all are asked for. What is remembered never
shows: inputs are compared, by identity first, so that equal ones give what they always gave.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

V = TypeVar("V")

AT_MOST = 20_000
"""Results of one kind; beyond them all are forgotten. A thousand nodes need a thousand."""


class Remembered(Generic[V]):
    """The last result under each key, with its inputs."""

    def __init__(self) -> None:
        self._held: dict[Hashable, tuple[tuple[object, ...], V]] = {}

    def of(self, key: Hashable, inputs: tuple[object, ...], make: Callable[[], V]) -> V:
        """Return the result under *key* of *inputs*: what *make* returns, if they are others.

        A tuple compares its members by identity before equality, so that the usual answer takes no
        look into them. *make* must follow from *key* and *inputs* alone.
        """
        held = self._held.get(key)
        if held is not None and held[0] == inputs:
            return held[1]
        if len(self._held) >= AT_MOST:
            self._held = {}
        made = make()
        self._held[key] = (inputs, made)
        return made
