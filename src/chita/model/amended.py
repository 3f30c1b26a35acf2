"""A mapping that is another one but for a few keys, made at the cost of those few.

A cluster has a hundred thousand workloads and changes one at a time, and each change must leave a
snapshot that nobody can change any more. Copying the dict for each costs milliseconds; what stands
here costs microseconds, and is looked up nearly as fast.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

V = TypeVar("V")

SMALL = 1_000
"""Below it a copy is cheap: a plain dict it stays."""

SHARE = 64
"""A copy is made once every hundreds of changes: when a 64th of the keys would stand beside it."""


class Amended(Mapping[str, V]):
    """*base* with *news* put over it; a value of None there: the key is gone.

    Neither may be changed afterwards.
    """

    __slots__ = ("_base", "_length", "_news")

    def __init__(self, base: dict[str, V], news: dict[str, V | None]) -> None:
        self._base = base
        self._news = news
        self._length = len(base)
        for key, value in news.items():
            self._length += (value is not None) - (key in base)

    def __getitem__(self, key: str) -> V:
        if key not in self._news:
            return self._base[key]
        value = self._news[key]
        if value is None:
            raise KeyError(key)
        return value

    def __iter__(self) -> Iterator[str]:
        for key in self._base:
            if key not in self._news:
                yield key
        for key, value in self._news.items():
            if value is not None:
                yield key

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return repr(dict(self))

    def with_news(self, news: Mapping[str, V | None]) -> Mapping[str, V]:
        """Return it with *news* put over it."""
        both = {**self._news, **news}
        if len(both) * SHARE <= len(self._base):
            return Amended(self._base, both)
        return copied(self._base, both)


def amended(held: Mapping[str, V], news: Mapping[str, V | None]) -> Mapping[str, V]:
    """Return *held* with *news* put (None: removed); *held* stays what it was."""
    if isinstance(held, Amended):
        return held.with_news(news)
    assert isinstance(held, dict)
    if len(held) < SMALL or len(news) * SHARE > len(held):
        return copied(held, news)
    return Amended(held, dict(news))


def copied(held: dict[str, V], news: Mapping[str, V | None]) -> dict[str, V]:
    """Return a copy of *held* with *news* put (None: removed)."""
    result = dict(held)
    for key, value in news.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = value
    return result
