"""Which label classes each selector selects, kept while members and selectors come and go.

Both directions are indexed by the label pair that a selector cannot do without: a new selector
looks at the classes that have the pair, a new class at the selectors that want one of its pairs.
Keys are only ever added: once a selector is gone, classes stay as fine as it had them, which
changes no selection.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic

import msgspec

from chita.compute.classes import (
    ClassIndex,
    Identity,
    LabelClass,
    T,
    effective_labels,
    identity,
    sharpest,
)
from chita.model.labels import Labels
from chita.model.selector import (
    Predicate,
    Selector,
    compile_selector,
    mentioned_keys,
    restrictions,
)

Pair = tuple[str, str | None]
"""A label key and value; a value of None stands for any."""


class SelectionChanges(msgspec.Struct, Generic[T], frozen=True):
    """What happened to a Selection."""

    members: set[LabelClass[T]]
    """Classes whose members are others now, or are no longer there."""
    classes: set[LabelClass[T]]
    """Classes that other selectors select now."""
    selectors: set[str]
    """Selectors that select other classes, or classes with other members."""


class _Entry(Generic[T]):
    """A selector with what it selects and where it is indexed."""

    __slots__ = ("pairs", "predicate", "selected", "selector")

    def __init__(self, selector: Selector, pairs: list[Pair | None]) -> None:
        self.selector = selector
        self.predicate: Predicate = compile_selector(selector)
        self.pairs = pairs
        self.selected: set[LabelClass[T]] = set()


class Selection(Generic[T]):
    """The relation between classes of members and selectors, each selector under a name."""

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._applied: dict[str, Labels] = {}
        self._members: dict[str, tuple[T, Identity]] = {}
        self._classes: dict[Identity, LabelClass[T]] = {}
        self._by_profile: dict[str, dict[Identity, None]] = {}
        self._index: ClassIndex[T] = ClassIndex()
        self._entries: dict[str, _Entry[T]] = {}
        self._by_pair: dict[Pair | None, dict[str, None]] = {}
        self._selectors_of: dict[LabelClass[T], set[str]] = {}
        self._changed_members: set[LabelClass[T]] = set()
        self._changed_classes: set[LabelClass[T]] = set()
        self._changed_selectors: set[str] = set()

    def selected(self, name: str) -> set[LabelClass[T]]:
        """Return the classes that the selector *name* selects.

        Raises:
            KeyError: there is no such selector.
        """
        return self._entries[name].selected

    def class_of(self, key: str) -> LabelClass[T]:
        """Return the class of the member under *key*.

        Raises:
            KeyError: there is no such member.
        """
        return self._classes[self._members[key][1]]

    def selectors_of(self, each: LabelClass[T]) -> set[str]:
        """Return the names of the selectors that select *each*; none when it is gone."""
        return self._selectors_of.get(each, set())

    def take_changes(self) -> SelectionChanges[T]:
        """Return what happened since the last call."""
        for each in self._changed_members:
            self._changed_selectors |= self.selectors_of(each)
        changes = SelectionChanges(
            self._changed_members, self._changed_classes, self._changed_selectors
        )
        self._changed_members, self._changed_classes = set(), set()
        self._changed_selectors = set()
        return changes

    def put_member(self, key: str, member: T) -> None:
        """*member* is under *key* now, whatever was before."""
        its = identity(member, self._keys)
        old = self._members.get(key)
        if old is not None:
            if old == (member, its):
                return
            if old[1] != its:
                self._leave(key, old[1])
        self._members[key] = member, its
        into = self._classes.get(its) or self._new_class(its)
        into.members[key] = member
        self._changed_members.add(into)

    def remove_member(self, key: str) -> None:
        """Nothing is under *key* any more."""
        old = self._members.pop(key, None)
        if old is not None:
            self._leave(key, old[1])

    def put_profile(self, name: str, labels: Labels) -> None:
        """Profile *name* gives *labels* to all that have it."""
        if self._applied.get(name) != labels:
            self._applied[name] = labels
            self._relabel(name)

    def remove_profile(self, name: str) -> None:
        """Profile *name* gives no labels any more."""
        if self._applied.pop(name, None) is not None:
            self._relabel(name)

    def mention(self, keys: frozenset[str]) -> None:
        """Split classes so that selectors can tell members apart by *keys* too.

        Not needed before `put_selector`; but members are gone through once for all *keys*, where
        selectors put one by one would have that done for each.
        """
        new = keys - self._keys
        if not new:
            return
        self._keys |= new
        for key, (member, _) in list(self._members.items()):
            if not new.isdisjoint(member.labels):
                self.put_member(key, member)

    def put_selector(self, name: str, selector: Selector) -> None:
        """*name* stands for *selector* now."""
        known = self._entries.get(name)
        if known is not None:
            if known.selector == selector:
                return
            self.remove_selector(name)
        self.mention(mentioned_keys(selector))
        entry = self._entries[name] = _Entry(selector, self._pairs(selector))
        for pair in entry.pairs:
            self._by_pair.setdefault(pair, {})[name] = None
        for each in self._index.selected(selector):
            self._select(name, entry, each)
        self._changed_selectors.add(name)

    def remove_selector(self, name: str) -> None:
        """No selector has *name* any more."""
        entry = self._entries.pop(name)
        for pair in entry.pairs:
            self._by_pair[pair].pop(name)
            if not self._by_pair[pair]:
                del self._by_pair[pair]
        for each in entry.selected:
            self._selectors_of[each].discard(name)
            self._changed_classes.add(each)
        self._changed_selectors.add(name)

    def _pairs(self, selector: Selector) -> list[Pair | None]:
        """Return the label pairs, one of which each match has; None when it needs none."""
        best = sharpest(restrictions(selector), self._index)
        if best is None:
            return [None]
        key, restriction = best
        if restriction.values is None:
            return [(key, None)]
        # Without values nothing can match: any one pair does, since its selector decides.
        return [(key, value) for value in restriction.values] or [(key, None)]

    def _leave(self, key: str, its: Identity) -> None:
        left = self._classes[its]
        del left.members[key]
        self._changed_members.add(left)
        if left.members:
            return
        del self._classes[its]
        for profile in its[1]:
            self._by_profile[profile].pop(its, None)
        self._index.discard(left)
        for name in self._selectors_of.pop(left):
            self._entries[name].selected.discard(left)
            self._changed_selectors.add(name)

    def _new_class(self, its: Identity) -> LabelClass[T]:
        new: LabelClass[T] = LabelClass(effective_labels(its, self._applied))
        self._classes[its] = new
        for profile in its[1]:
            self._by_profile.setdefault(profile, {})[its] = None
        self._index.add(new)
        self._selectors_of[new] = set()
        self._select_for(new)
        return new

    def _relabel(self, profile: str) -> None:
        """Look again at the classes that have *profile*; their members stay what they are."""
        for its in self._by_profile.get(profile, ()):
            each = self._classes[its]
            self._index.discard(each)
            each.labels = effective_labels(its, self._applied)
            self._index.add(each)
            self._select_for(each)

    def _select_for(self, each: LabelClass[T]) -> None:
        """Make the selection of *each* what its labels say."""
        before = set(self._selectors_of[each])
        after = {
            name
            for name in self._wanting(each.labels)
            if self._entries[name].predicate(each.labels)
        }
        for name in before - after:
            self._entries[name].selected.discard(each)
            self._selectors_of[each].discard(name)
            self._changed_classes.add(each)
            self._changed_selectors.add(name)
        for name in after - before:
            self._select(name, self._entries[name], each)

    def _select(self, name: str, entry: _Entry[T], each: LabelClass[T]) -> None:
        entry.selected.add(each)
        self._selectors_of[each].add(name)
        self._changed_classes.add(each)
        self._changed_selectors.add(name)

    def _wanting(self, labels: Mapping[str, str]) -> set[str]:
        """Return the selectors that *labels* have an indexed pair of."""
        found = set(self._by_pair.get(None, ()))
        for key, value in labels.items():
            found.update(self._by_pair.get((key, value), ()))
            found.update(self._by_pair.get((key, None), ()))
        return found
