"""Which label classes each selector selects, kept while members and selectors come and go.

Both directions are indexed by the label pair that a selector cannot do without: a new selector
looks at the classes that have the pair, a new class at the selectors that want one of its pairs.
Keys are only ever added: once a selector is gone, classes stay as fine as it had them, which
changes no selection.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Generic

import msgspec

from chita.compute.classes import (
    ClassIndex,
    Identity,
    LabelClass,
    T,
    identity,
    seen_labels,
    sharpest,
)
from chita.compute.wanted import Pair, WantedPairs
from chita.model.labels import Labels
from chita.model.selector import (
    Predicate,
    Restriction,
    Selector,
    compile_selector,
    mentioned_keys,
    restrictions,
)


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

    __slots__ = ("keys", "pairs", "predicate", "selected", "selector")

    def __init__(self, selector: Selector, pairs: list[Pair] | None) -> None:
        self.selector = selector
        self.predicate: Predicate = compile_selector(selector)
        self.keys = mentioned_keys(selector)
        self.pairs = pairs
        self.selected: set[LabelClass[T]] = set()


class Selection(Generic[T]):
    """The relation between classes of members and selectors, each selector under a name."""

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._applied: dict[str, Labels] = {}
        self._classes: dict[Identity, LabelClass[T]] = {}
        self._class_of: dict[str, LabelClass[T]] = {}
        self._by_profile: dict[str, dict[LabelClass[T], None]] = {}
        self._index: ClassIndex[T] = ClassIndex()
        self._entries: dict[str, _Entry[T]] = {}
        self._wanted = WantedPairs()
        self._mentioning: defaultdict[str, WantedPairs] = defaultdict(WantedPairs)
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
        return self._class_of[key]

    def find_class(self, key: str) -> LabelClass[T] | None:
        """Return the class of the member under *key*, if there is one."""
        return self._class_of.get(key)

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
        into = self._classes.get(its)
        old = self._class_of.get(key)
        if old is not None:
            if old is not into:
                self._leave(key, old)
            elif old.members[key] == member:
                return
        if into is None:
            into = self._new_class(its)
        self._class_of[key] = into
        into.members[key] = member
        into.made = None
        self._changed_members.add(into)

    def remove_member(self, key: str) -> None:
        """Nothing is under *key* any more."""
        old = self._class_of.pop(key, None)
        if old is not None:
            self._leave(key, old)

    def put_profile(self, name: str, labels: Labels | None) -> None:
        """Profile *name* gives *labels* to all that have it; None: there is no such profile.

        Classes that have it are looked at again; their members stay what they are.
        """
        old, new = self._applied.pop(name, {}), labels or {}
        if labels is not None:
            self._applied[name] = labels
        keys = self._keys.intersection(old.keys() | new.keys())
        self._relabel_all(name, [key for key in keys if old.get(key) != new.get(key)])

    def mention(self, keys: frozenset[str]) -> None:
        """Split classes so that selectors can tell members apart by *keys* too.

        Not needed before `put_selector`; but members are gone through once for all *keys*, where
        selectors put one by one would have that done for each.
        """
        new = keys - self._keys
        if not new:
            return
        self._keys |= new
        members = [item for each in self._classes.values() for item in each.members.items()]
        for key, member in members:
            if not new.isdisjoint(member.labels):
                self.put_member(key, member)
        for name, labels in self._applied.items():
            self._relabel_all(name, new.intersection(labels))

    def put_selector(self, name: str, selector: Selector) -> None:
        """*name* stands for *selector* now."""
        known = self._entries.get(name)
        if known is not None:
            if known.selector == selector:
                return
            self.remove_selector(name)
        self.mention(mentioned_keys(selector))
        best = sharpest(restrictions(selector), self._index)
        entry: _Entry[T] = _Entry(selector, _pairs(best))
        self._entries[name] = entry
        self._wanted.add(name, entry.pairs)
        for key in entry.keys:
            self._mentioning[key].add(name, entry.pairs)
        for each in self._index.having(best):
            if entry.predicate(each.labels):
                self._select(name, entry, each)
        self._changed_selectors.add(name)

    def remove_selector(self, name: str) -> None:
        """No selector has *name* any more."""
        entry = self._entries.pop(name)
        self._wanted.discard(name, entry.pairs)
        for key in entry.keys:
            self._mentioning[key].discard(name, entry.pairs)
        for each in entry.selected:
            self._selectors_of[each].discard(name)
            self._changed_classes.add(each)
        self._changed_selectors.add(name)

    def _leave(self, key: str, left: LabelClass[T]) -> None:
        del left.members[key]
        left.made = None
        self._changed_members.add(left)
        if left.members:
            return
        del self._classes[left.identity]
        for profile in left.identity[1]:
            self._by_profile[profile].pop(left, None)
        self._index.discard(left)
        for name in self._selectors_of.pop(left):
            self._entries[name].selected.discard(left)
            self._changed_selectors.add(name)

    def _new_class(self, its: Identity) -> LabelClass[T]:
        new: LabelClass[T] = LabelClass(its, seen_labels(its, self._keys, self._applied))
        self._classes[its] = new
        for profile in its[1]:
            self._by_profile.setdefault(profile, {})[new] = None
        self._index.add(new)
        self._selectors_of[new] = set()
        for name in set(self._wanted.worth_trying(new.labels)):
            entry = self._entries[name]
            if entry.predicate(new.labels):
                self._select(name, entry, new)
        return new

    def _relabel_all(self, profile: str, suspects: Collection[str]) -> None:
        """Make all classes that have *profile* right; what it gives is new under *suspects*."""
        if suspects:
            for each in self._by_profile.get(profile, ()):
                self._relabel(each, suspects)

    def _relabel(self, each: LabelClass[T], suspects: Iterable[str]) -> None:
        """Make the labels and the selection of *each* right; only *suspects* may be others."""
        new = dict(each.labels)
        changed = [key for key in suspects if self._inherit(each, key, new)]
        if not changed:
            return
        self._index.relabel(each, new, changed)
        selected, entries = self._selectors_of[each], self._entries
        for name in list(selected):
            entry = entries[name]
            if not entry.keys.isdisjoint(changed) and not entry.predicate(new):
                entry.selected.discard(each)
                selected.discard(name)
                self._changed_classes.add(each)
                self._changed_selectors.add(name)
        for key in changed:
            for name in self._mentioning[key].worth_trying(new):
                if name not in selected and entries[name].predicate(new):
                    self._select(name, entries[name], each)

    def _inherit(self, each: LabelClass[T], key: str, labels: dict[str, str]) -> bool:
        """Put what *each* inherits under *key* into *labels*; return whether that is another."""
        own, profiles = each.identity
        held = labels.pop(key, None)
        if held is not None and key in own[::2]:
            labels[key] = held
            return False
        for name in profiles:
            applied = self._applied.get(name)
            if applied is not None and key in applied:
                labels[key] = applied[key]
                break
        return labels.get(key) != held

    def _select(self, name: str, entry: _Entry[T], each: LabelClass[T]) -> None:
        entry.selected.add(each)
        self._selectors_of[each].add(name)
        self._changed_classes.add(each)
        self._changed_selectors.add(name)


def _pairs(best: tuple[str, Restriction] | None) -> list[Pair] | None:
    """Return the label pairs, one of which each match has; None when it needs none."""
    if best is None:
        return None
    key, restriction = best
    if restriction.values is None:
        return [(key, None)]
    # Without values nothing can match: any one pair does, since its selector decides.
    return [(key, value) for value in restriction.values] or [(key, None)]
