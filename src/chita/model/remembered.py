"""Remembered: results kept as long as what they follow from is the same.

With a thousand nodes a change touches few of them, and all are asked for. What is remembered never
shows: inputs are compared, by identity first, so that equal ones give what they always gave. A
result that comes out as it was is the same object as before, so that whatever follows from it is
compared by identity too, and not made again either.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Generic, TypeVar

import msgspec

K = TypeVar("K")
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
            self.forget()
        made = make()
        if held is not None and held[1] == made:
            made = held[1]
        self._held[key] = (inputs, made)
        return made

    def forget(self) -> None:
        """Remember nothing."""
        self._held = {}


class _Each(msgspec.Struct, Generic[V], frozen=True):
    """Results by name, and what they follow from."""

    common: tuple[object, ...]
    each: tuple[Mapping[str, object], ...]
    results: dict[str, V]


class RememberedEach(Generic[V]):
    """The last results for all names under each key, with their inputs.

    Asked again, it makes those whose inputs are others, and compares the rest at the speed of a
    dict: 35 microseconds for a thousand names of a mapping that is another object, and none for one
    that is the same.
    """

    def __init__(self) -> None:
        self._held: dict[Hashable, _Each[V]] = {}

    def of(
        self,
        key: Hashable,
        common: tuple[object, ...],
        each: tuple[Mapping[str, object], ...],
        make: Callable[[str], V | None],
    ) -> dict[str, V]:
        """Return the result of *make* for each name in any of *each*, in the order of names.

        None is no result. *make* must follow from *common* and from what *each* has under the
        name; None there is as good as nothing. The dict is the same object as long as it is equal,
        and belongs to the memory.
        """
        held = self._held.get(key)
        if held is None:
            held = _Each((), (), {})
        if held.each and held.common == common:
            names = set().union(*map(_changed, each, held.each))
        else:
            names = set(held.results).union(*each)
        news = {name: make(name) if any(name in it for it in each) else None for name in names}
        results = _amended(held.results, news)
        if len(self._held) * len(results) >= AT_MOST:
            self.forget()
        self._held[key] = _Each(common, each, results)
        return results

    def forget(self) -> None:
        """Remember nothing."""
        self._held = {}


class _Union(msgspec.Struct, Generic[K, V], frozen=True):
    parts: Mapping[str, Mapping[K, V]]
    union: dict[K, V]


class RememberedUnion(Generic[K, V]):
    """The last union of many mappings under each key, made from the last at the cost of the news.

    Where two have one key, that of the later name counts.
    """

    def __init__(self) -> None:
        self._held: dict[Hashable, _Union[K, V]] = {}

    def of(self, key: Hashable, parts: Mapping[str, Mapping[K, V]]) -> dict[K, V]:
        """Return all of *parts*; the same object as long as they are, and the memory's own."""
        held = self._held.get(key)
        if held is None:
            held = _Union({}, {})
        if held.parts is parts:
            return held.union
        union = _moved(held, parts)
        if len(union) != sum(map(len, parts.values())):
            union = {}
            for name in sorted(parts):
                union.update(parts[name])
        if len(self._held) * len(parts) >= AT_MOST:
            self.forget()
        self._held[key] = _Union(parts, union)
        return union

    def forget(self) -> None:
        """Remember nothing."""
        self._held = {}


def _changed(new: Mapping[str, object], old: Mapping[str, object]) -> Iterable[str]:
    """Return the names under which the two have something else."""
    if new is old:
        return ()
    put = [
        name for name, value in new.items() if old.get(name) is not value and old.get(name) != value
    ]
    return [*put, *(old.keys() - new.keys())]


def _amended(held: dict[str, V], news: Mapping[str, V | None]) -> dict[str, V]:
    """Return *held* with *news* put (None: removed); *held* itself if they are none."""
    put = {
        name: value for name, value in news.items() if value is not None and held.get(name) != value
    }
    gone = [name for name, value in news.items() if value is None and name in held]
    if not put and not gone:
        return held
    amended = held | put
    for name in gone:
        del amended[name]
    if len(amended) + len(gone) == len(held):
        return amended
    return dict(sorted(amended.items(), key=_name))


def _name(item: tuple[str, object]) -> str:
    return item[0]


def _moved(held: _Union[K, V], parts: Mapping[str, Mapping[K, V]]) -> dict[K, V]:
    """Return the union of *parts* if no key is in two of them, now or before."""
    union = dict(held.union)
    names = _changed(parts, held.parts)
    for name in names:
        for key in held.parts.get(name, ()):
            union.pop(key, None)
    for name in names:
        union.update(parts.get(name, {}))
    return union
