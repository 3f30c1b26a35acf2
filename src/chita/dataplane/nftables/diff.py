"""The transaction that turns one ruleset into another, touching only what differs.

Order: what is referred to comes before what refers to it, and whole sets, maps and chains go last.
All of it is one commit, so no packet sees a step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from chita.dataplane.nftables.objects import Chain, Element, Ruleset, Set
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


def diff(actual: Ruleset, desired: Ruleset) -> Transaction:
    """Return what turns *actual* into *desired*; empty when they are equal.

    Parts that are the same object are not looked at. Elements change one by one. A chain whose
    rules differ is flushed and filled again: its counters restart. A set whose type or a chain
    whose hook differs, which the kernel cannot change, is an error of the caller.
    """
    new_sets = _missing(desired.sets, actual.sets)
    new_maps = _missing(desired.maps, actual.maps)
    new_chains = _missing(desired.chains, actual.chains)
    steps: list[Operation] = [AddSet(item) for item in new_sets]
    steps += [AddElements(item, tuple(item.elements)) for item in new_sets if item.elements]
    changes = [_elements(actual.sets[name], item) for name, item in desired.sets.items()
               if name in actual.sets]  # fmt: skip
    # Removals first here: a network may take the place of others that overlap it.
    steps += [DeleteElements(item, removed) for item, _, removed in changes if removed]
    steps += [AddElements(item, added) for item, added, _ in changes if added]
    steps += [AddChain(chain) for chain in new_chains]
    steps += [AddMap(item) for item in new_maps]
    steps += _rules(actual.chains, desired.chains)
    steps += _mappings(actual, desired)
    return (*steps, *_removals(actual, desired))


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


def _missing(wanted: Mapping[str, T], there: Mapping[str, object]) -> list[T]:
    if wanted is there:
        return []
    return [item for name, item in wanted.items() if name not in there]


def _elements(actual: Set, desired: Set) -> tuple[Set, tuple[Element, ...], tuple[Element, ...]]:
    """Return the set, what comes in and what goes."""
    if actual is desired or actual.elements is desired.elements:
        return desired, (), ()
    before: frozenset[Element] = frozenset(actual.elements)
    after: frozenset[Element] = frozenset(desired.elements)
    return desired, tuple(after - before), tuple(before - after)


def _rules(actual: Mapping[str, Chain], desired: Mapping[str, Chain]) -> Iterable[Operation]:
    if actual is desired:
        return
    for name, chain in desired.items():
        before = actual.get(name)
        if before is chain or (before is not None and before.rules == chain.rules):
            continue
        if before is not None and before.rules:
            yield FlushChain(name)
        if chain.rules:
            yield AddRules(name, chain.rules)


def _mappings(actual: Ruleset, desired: Ruleset) -> Iterable[Operation]:
    """Yield what changes in verdict maps; a changed verdict is deleted and added again."""
    if actual.maps is desired.maps:
        return
    for name, item in desired.maps.items():
        before = actual.maps[name].elements if name in actual.maps else {}
        gone = {key: old for key, old in before.items() if item.elements.get(key) != old}
        come = {key: new for key, new in item.elements.items() if before.get(key) != new}
        if gone:
            yield DeleteMappings(name, gone)
        if come:
            yield AddMappings(name, come)


def _removals(actual: Ruleset, desired: Ruleset) -> Iterable[Operation]:
    # Maps refer to chains, chains to each other and to sets: free the references first.
    doomed = _missing(actual.chains, desired.chains)
    doomed_maps = _missing(actual.maps, desired.maps)
    yield from (FlushChain(chain.name) for chain in doomed if chain.rules)
    yield from (DeleteMap(item.name) for item in doomed_maps)
    yield from (DeleteChain(chain.name) for chain in doomed)
    yield from (DeleteSet(item.name) for item in _missing(actual.sets, desired.sets))
