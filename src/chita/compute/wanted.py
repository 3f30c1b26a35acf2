"""Selectors by the label pair each cannot do without: labels find those worth trying."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

Pair = tuple[str, str | None]
"""A label key and value; a value of None stands for any."""


class WantedPairs:
    """Names of selectors, each under the pairs of which any match has one; or under none."""

    __slots__ = ("_always", "_by_key")

    def __init__(self) -> None:
        self._always: dict[str, None] = {}
        self._by_key: dict[str, dict[str | None, dict[str, None]]] = {}

    def add(self, name: str, pairs: Iterable[Pair] | None) -> None:
        """Put *name* under *pairs*; None: it needs none, and is always worth a try."""
        if pairs is None:
            self._always[name] = None
            return
        for key, value in pairs:
            self._by_key.setdefault(key, {}).setdefault(value, {})[name] = None

    def discard(self, name: str, pairs: Iterable[Pair] | None) -> None:
        """Forget *name*, which was put under *pairs*."""
        if pairs is None:
            del self._always[name]
            return
        for key, value in pairs:
            names = self._by_key[key][value]
            del names[name]
            if not names:
                del self._by_key[key][value]
                if not self._by_key[key]:
                    del self._by_key[key]

    def worth_trying(self, labels: Mapping[str, str]) -> Iterator[str]:
        """Yield the names that may match *labels*, some of them more than once."""
        yield from self._always
        by_key = self._by_key
        for key in by_key if len(by_key) < len(labels) else labels:
            value = labels.get(key)
            by_value = by_key.get(key)
            if value is None or by_value is None:
                continue
            if value in by_value:
                yield from by_value[value]
            if None in by_value:
                yield from by_value[None]
