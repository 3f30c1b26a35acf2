"""The transaction that turns one ruleset into another, touching only what differs.

Order: what is referred to comes before what refers to it, and whole sets, maps and chains go last.
All of it is one commit, so no packet sees a step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

from chita.dataplane.nftables.objects import Chain, Element, Ruleset, Set, VerdictMap
from chita.dataplane.nftables.overlay import changed_keys
from chita.dataplane.nftables.sets import ElementChange, difference
from chita.dataplane.nftables.transaction import (
    AddChain,
    AddElements,
    AddMap,
    AddMappings,
    AddRules,
    AddSet,
    AddTable,
    DeleteChain,
    DeleteElements,
    DeleteMap,
    DeleteMappings,
    DeleteSet,
    DeleteTable,
    FlushChain,
    Operation,
    Transaction,
)

T = TypeVar("T")


def diff(
    actual: Ruleset, desired: Ruleset, known: Mapping[str, ElementChange] | None = None
) -> Transaction:
    """Return what turns *actual* into *desired*; empty when they are equal.

    Parts that are the same object are not looked at. Elements change one by one; *known* has the
    changes of sets that whoever made *desired* knows already. A chain whose rules differ is flushed
    and filled again: its counters restart. A set whose type or a chain whose hook differs, which
    the kernel cannot change, is an error of the caller.
    """
    sets = _Differences(actual.sets, desired.sets)
    maps = _Differences(actual.maps, desired.maps)
    chains = _Differences(actual.chains, desired.chains)
    steps: list[Operation] = [AddSet(item) for item in sets.new]
    steps += [AddElements(item, tuple(item.elements)) for item in sets.new if item.elements]
    changes = [(item, _elements(before, item, known or {})) for before, item in sets.changed]
    # Removals first here: a network may take the place of others that overlap it.
    steps += [DeleteElements(item, tuple(c.removed)) for item, c in changes if c.removed]
    steps += [AddElements(item, tuple(c.added)) for item, c in changes if c.added]
    steps += [AddChain(chain) for chain in chains.new]
    steps += [AddMap(item) for item in maps.new]
    steps += _rules(chains)
    steps += _mappings(maps)
    return (*steps, *_removals(sets, maps, chains))


class _Differences(Generic[T]):
    """What differs between two mappings: things that came, that are others, and that are gone."""

    def __init__(self, actual: Mapping[str, T], desired: Mapping[str, T]) -> None:
        self.new: list[T] = []
        self.changed: list[tuple[T, T]] = []
        self.gone: list[T] = []
        for name in changed_keys(actual, desired):
            before, after = actual.get(name), desired.get(name)
            if after is None:
                self.gone.append(actual[name])
            elif before is None:
                self.new.append(after)
            else:
                self.changed.append((before, after))


def replace(desired: Ruleset) -> Transaction:
    """Return what makes the table *desired*, whatever it was, in one commit.

    The last resort: the kernel (at least until 6.18) takes the elements of a deleted verdict map
    out of sight before it unhooks the chains that look there, so packets of new flows are dropped
    for the length of the commit, 0.1 ms for a small table (docs/design/nftables.md).
    """
    return AddTable(), DeleteTable(), AddTable(), *diff(Ruleset(), desired)


def create(desired: Ruleset) -> Transaction:
    """Return what makes the table when there is none."""
    return AddTable(), *diff(Ruleset(), desired)


def is_convertible(actual: Ruleset, desired: Ruleset) -> bool:
    """Return whether `diff` can do it: no set's type and no chain's hook is another."""
    sets = ((actual.sets[name], item) for name, item in desired.sets.items() if name in actual.sets)
    chains = (
        (actual.chains[name], item)
        for name, item in desired.chains.items()
        if name in actual.chains
    )
    return all(a.types == b.types and a.kind == b.kind for a, b in sets) and all(
        a.hook == b.hook for a, b in chains
    )


def _elements(before: Set, after: Set, known: Mapping[str, ElementChange]) -> ElementChange:
    change = known.get(after.name)
    if change is not None and change.before is before:
        return change
    there: frozenset[Element] = frozenset(before.elements)
    wanted: frozenset[Element] = frozenset(after.elements)
    added, removed = difference(there, wanted)
    return ElementChange(before, added, removed)


def _rules(chains: _Differences[Chain]) -> Iterable[Operation]:
    pairs: list[tuple[Chain | None, Chain]] = [(None, chain) for chain in chains.new]
    for before, chain in (*pairs, *chains.changed):
        if before is not None and before.rules == chain.rules:
            continue
        if before is not None and before.rules:
            yield FlushChain(chain.name)
        if chain.rules:
            yield AddRules(chain.name, chain.rules)


def _mappings(maps: _Differences[VerdictMap]) -> Iterable[Operation]:
    """Yield what changes in verdict maps; a changed verdict is deleted and added again."""
    pairs = [(VerdictMap(item.name, {}), item) for item in maps.new]
    for old, new in (*pairs, *maps.changed):
        before, after = old.elements, new.elements
        names = [
            name for name in changed_keys(before, after) if before.get(name) != after.get(name)
        ]
        gone = {name: before[name] for name in names if name in before}
        come = {name: after[name] for name in names if name in after}
        if gone:
            yield DeleteMappings(new.name, gone)
        if come:
            yield AddMappings(new.name, come)


def _removals(
    sets: _Differences[Set], maps: _Differences[VerdictMap], chains: _Differences[Chain]
) -> Iterable[Operation]:
    # Maps refer to chains, chains to each other and to sets: free the references first.
    yield from (FlushChain(chain.name) for chain in chains.gone if chain.rules)
    yield from (DeleteMap(item.name) for item in maps.gone)
    yield from (DeleteChain(chain.name) for chain in chains.gone)
    yield from (DeleteSet(item.name) for item in sets.gone)
