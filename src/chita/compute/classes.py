"""Label classes: what selectors cannot tell apart is looked at once.

Pods of one Deployment differ in their names and in labels that no selector mentions. Members
whose labels are equal on the keys that some selector mentions form a class; a selector is matched
with each class instead of with each member, and only with classes that have the label pair which
the selector cannot do without.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import chain
from typing import Generic, Protocol, TypeVar

from chita.model.labels import Labels
from chita.model.selector import Restriction, Selector, compile_selector, restrictions


class Labelled(Protocol):
    """What has labels of its own and inherits those its profiles apply."""

    @property
    def labels(self) -> dict[str, str]:
        """Its own labels."""

    @property
    def profiles(self) -> tuple[str, ...]:
        """Names of its profiles."""


T = TypeVar("T", bound=Labelled)

Identity = tuple[tuple[str, ...], tuple[str, ...]]
"""What is equal for members of one class: own labels on the mentioned keys, and profiles.

Of labels key and value in turn, in the order of keys: a third of what a frozenset of pairs takes,
and a cluster may have as many classes as pods.
"""


class LabelClass(Generic[T]):
    """Members with equal effective labels, as far as selectors look.

    Attributes:
        labels: what selectors see, on the mentioned keys; never changed in place.
        members: by their keys.
        identity: what its members have in common; of several, the first one's.
        made: what was made of the members, for whoever asks again; None once they are others.
    """

    __slots__ = ("identity", "labels", "made", "members")

    def __init__(self, identity: Identity, labels: Labels) -> None:
        self.identity = identity
        self.labels = labels
        self.members: dict[str, T] = {}
        self.made: object | None = None


def identity(member: Labelled, keys: Collection[str]) -> Identity:
    """Return what decides the class of *member* when selectors mention *keys*."""
    own = [pair for pair in member.labels.items() if pair[0] in keys]
    if len(own) == 1:
        return own[0], member.profiles
    own.sort()
    return tuple(chain.from_iterable(own)), member.profiles


def seen_labels(
    of: Identity, keys: Collection[str], applied: Mapping[str, Labels]
) -> dict[str, str]:
    """Return own labels over those that the profiles in *applied* give, on *keys*.

    v3 Profile, ``labelsToApply``: the endpoint's own labels win, then earlier profiles. A profile
    that is missing gives none.
    """
    own, profiles = of
    seen = dict(zip(own[::2], own[1::2], strict=True))
    for name in profiles:
        for key, value in applied.get(name, {}).items():
            if key in keys:
                seen.setdefault(key, value)
    return seen


def classify(
    members: Mapping[str, T], keys: Collection[str], applied: Mapping[str, Labels]
) -> list[LabelClass[T]]:
    """Return *members*, by key, in classes that selectors mentioning *keys* cannot split.

    *applied* are the labels that each profile gives.
    """
    by_identity: dict[Identity, LabelClass[T]] = {}
    by_labels: dict[frozenset[tuple[str, str]], LabelClass[T]] = {}
    for key, member in members.items():
        its = identity(member, keys)
        found = by_identity.get(its)
        if found is None:
            seen = seen_labels(its, keys, applied)
            found = by_labels.setdefault(frozenset(seen.items()), LabelClass(its, seen))
            by_identity[its] = found
        found.members[key] = member
    return list(by_labels.values())


class ClassIndex(Generic[T]):
    """Classes by the label pairs they have, so that a selector need not be tried on all."""

    def __init__(self, classes: Iterable[LabelClass[T]] = ()) -> None:
        self._all: dict[LabelClass[T], None] = {}
        self._by_key: dict[str, dict[str, dict[LabelClass[T], None]]] = {}
        for each in classes:
            self.add(each)

    def add(self, each: LabelClass[T]) -> None:
        """Know *each* by its labels of now."""
        self._all[each] = None
        for key, value in each.labels.items():
            self._put(key, value, each)

    def discard(self, each: LabelClass[T]) -> None:
        """Forget *each*, whose labels must be those it was added with."""
        self._all.pop(each, None)
        for key, value in each.labels.items():
            self._drop(key, value, each)

    def relabel(self, each: LabelClass[T], labels: Labels, keys: Iterable[str]) -> None:
        """Know *each*, which is here, by *labels* from now on; they differ under *keys* only."""
        for key in keys:
            if key in each.labels:
                self._drop(key, each.labels[key], each)
            if key in labels:
                self._put(key, labels[key], each)
        each.labels = labels

    def _put(self, key: str, value: str, each: LabelClass[T]) -> None:
        values = self._by_key.get(key)
        if values is None:
            values = self._by_key[key] = {}
        having = values.get(value)
        if having is None:
            having = values[value] = {}
        having[each] = None

    def _drop(self, key: str, value: str, each: LabelClass[T]) -> None:
        values = self._by_key[key]
        having = values[value]
        del having[each]
        if not having:
            del values[value]

    def count(self, key: str, restriction: Restriction) -> int | None:
        """Return how many classes fulfil *restriction* of *key*; None when it cannot tell."""
        values = self._by_key.get(key, {})
        if restriction.values is not None:
            return sum([len(values.get(value, ())) for value in restriction.values])
        if restriction.present:
            return sum(map(len, values.values()))
        return None

    def selected(self, selector: Selector) -> list[LabelClass[T]]:
        """Return the classes that *selector* matches."""
        predicate = compile_selector(selector)
        having = self.having(sharpest(restrictions(selector), self))
        return [each for each in having if predicate(each.labels)]

    def having(self, best: tuple[str, Restriction] | None) -> Iterable[LabelClass[T]]:
        """Return the classes that fulfil a restriction of a key; all where there is none."""
        if best is None:
            return self._all
        key, restriction = best
        values = self._by_key.get(key, {})
        wanted = values if restriction.values is None else restriction.values
        return [each for value in wanted for each in values.get(value, ())]


def sharpest(
    restricted: Mapping[str, Restriction], index: ClassIndex[T]
) -> tuple[str, Restriction] | None:
    """Return the restriction that the fewest classes of *index* fulfil; None without any."""
    best: tuple[int, str, Restriction] | None = None
    for key, restriction in restricted.items():
        count = index.count(key, restriction)
        if count is not None and (best is None or count < best[0]):
            best = count, key, restriction
    return None if best is None else best[1:]
