"""The table in memory: refuses what the kernel refuses, for tests and for ``chita plan``."""

from __future__ import annotations

import errno
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from chita.dataplane.nftables.objects import (
    Chain,
    Element,
    Goto,
    Jump,
    Lookup,
    Rule,
    Ruleset,
    Set,
    SetKind,
    VerdictLookup,
    VerdictMap,
)
from chita.dataplane.nftables.outline import Outline, outline
from chita.dataplane.nftables.parts import Part, TablePart, Touched, part_outline
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
from chita.errors import KernelError
from chita.model.net import Cidr, PortRange

_Thing = TypeVar("_Thing")


class FakeTable:
    """A table in memory; ``ruleset`` is what it holds, None when it does not exist."""

    def __init__(self) -> None:
        self.ruleset: Ruleset | None = None
        self.commits = 0
        """How many transactions took effect."""
        self._touched: Touched = frozenset()

    def read(self) -> Outline | None:
        """Return what the table holds, or None when there is none."""
        self._touched = frozenset()
        return None if self.ruleset is None else outline(self.ruleset)

    def read_part(self, part: Part) -> Outline:
        """Return what the table holds of *part*."""
        return part_outline(self.ruleset or Ruleset(), part)

    def verify(self, part: Part, expected: Ruleset) -> Iterator[bool]:
        """Yield whether *part* is what *expected* has, after a while in which it was."""
        yield True
        yield self.read_part(part) == part_outline(expected, part)

    def take_touched(self) -> Touched:
        """Return what `touch` was called for since the last call or read."""
        touched, self._touched = self._touched, frozenset()
        return touched

    def touch(self, ruleset: Ruleset | None, *what: Part | TablePart) -> None:
        """Change the table as somebody else would; the kernel announces *what* it is about."""
        self.ruleset = ruleset
        self._touched |= frozenset(what)

    def commit(self, transaction: Transaction) -> None:
        """Make all of *transaction* take effect at once.

        Raises:
            KernelError: an operation names what is not there, adds what is there already, or
                deletes what something still refers to.
        """
        draft = _Draft(self.ruleset)
        for step in transaction:
            draft.run(step)
        self.ruleset = draft.ruleset()
        self.commits += 1


class _Draft:
    """What a transaction has made so far."""

    def __init__(self, ruleset: Ruleset | None) -> None:
        self.exists = ruleset is not None
        held = ruleset or Ruleset()
        self.sets: dict[str, Set] = dict(held.sets)
        self.maps: dict[str, VerdictMap] = dict(held.maps)
        self.chains: dict[str, Chain] = dict(held.chains)

    def ruleset(self) -> Ruleset | None:
        return Ruleset(self.sets, self.maps, self.chains) if self.exists else None

    def run(self, step: Operation) -> None:
        match step:
            case AddTable():
                self.exists = True
            case DeleteTable():
                _refuse_unless(self.exists, step, errno.ENOENT)
                self.exists = False
                self.sets, self.maps, self.chains = {}, {}, {}
            case AddSet() | AddElements() | DeleteElements() | DeleteSet():
                _refuse_unless(self.exists, step, errno.ENOENT)
                self._run_set(step)
            case AddMap() | AddMappings() | DeleteMappings() | DeleteMap():
                _refuse_unless(self.exists, step, errno.ENOENT)
                self._run_map(step)
            case AddChain() | AddRules() | FlushChain() | DeleteChain():
                _refuse_unless(self.exists, step, errno.ENOENT)
                self._run_chain(step)

    def _run_set(self, step: AddSet | AddElements | DeleteElements | DeleteSet) -> None:
        match step:
            case AddSet(item):
                _refuse_unless(item.name not in self.sets, step, errno.EEXIST)
                self.sets[item.name] = Set(item.name, item.types, item.kind, frozenset())
            case AddElements(item, elements):
                held = self._there(self.sets, item.name, step)
                _refuse_unless(held.elements.isdisjoint(elements), step, errno.EEXIST)
                _refuse_unless(not _overlap(held, elements), step, errno.EEXIST)
                self.sets[item.name] = _with_elements(held, {*held.elements, *elements})
            case DeleteElements(item, elements):
                held = self._there(self.sets, item.name, step)
                _refuse_unless(held.elements >= set(elements), step, errno.ENOENT)
                self.sets[item.name] = _with_elements(held, {*held.elements} - {*elements})
            case DeleteSet(name):
                self._there(self.sets, name, step)
                _refuse_unless(name not in set(self._references()), step, errno.EBUSY)
                del self.sets[name]

    def _run_map(self, step: AddMap | AddMappings | DeleteMappings | DeleteMap) -> None:
        match step:
            case AddMap(map_):
                _refuse_unless(map_.name not in self.maps, step, errno.EEXIST)
                self.maps[map_.name] = VerdictMap(map_.name, {})
            case AddMappings(name, mappings):
                there = self._there(self.maps, name, step).elements
                _refuse_unless(there.keys().isdisjoint(mappings), step, errno.EEXIST)
                for verdict in mappings.values():
                    if isinstance(verdict, Goto | Jump):
                        self._there(self.chains, verdict.chain, step)
                self.maps[name] = VerdictMap(name, {**there, **mappings})
            case DeleteMappings(name, mappings):
                there = self._there(self.maps, name, step).elements
                _refuse_unless(there.keys() >= mappings.keys(), step, errno.ENOENT)
                kept = {key: value for key, value in there.items() if key not in mappings}
                self.maps[name] = VerdictMap(name, kept)
            case DeleteMap(name):
                self._there(self.maps, name, step)
                _refuse_unless(name not in set(self._references()), step, errno.EBUSY)
                del self.maps[name]

    def _run_chain(self, step: AddChain | AddRules | FlushChain | DeleteChain) -> None:
        match step:
            case AddChain(chain):
                _refuse_unless(chain.name not in self.chains, step, errno.EEXIST)
                self.chains[chain.name] = Chain(chain.name, (), chain.hook)
            case AddRules(name, rules):
                chain = self._there(self.chains, name, step)
                for rule in rules:
                    for needed, kind in _needs(rule):
                        self._there(getattr(self, kind), needed, step)
                self.chains[name] = Chain(name, chain.rules + rules, chain.hook)
            case FlushChain(name):
                chain = self._there(self.chains, name, step)
                self.chains[name] = Chain(name, (), chain.hook)
            case DeleteChain(name):
                self._there(self.chains, name, step)
                _refuse_unless(name not in set(self._references()), step, errno.EBUSY)
                del self.chains[name]

    def _references(self) -> Iterator[str]:
        """Yield the names of chains, sets and maps that something refers to."""
        for chain in self.chains.values():
            for rule in chain.rules:
                yield from (name for name, _ in _needs(rule))
        for item in self.maps.values():
            yield from (v.chain for v in item.elements.values() if isinstance(v, Goto | Jump))

    def _there(self, things: Mapping[str, _Thing], name: str, step: Operation) -> _Thing:
        _refuse_unless(name in things, step, errno.ENOENT)
        return things[name]


def _overlap(item: Set, more: Iterable[Element]) -> bool:
    """Return whether two intervals of *item* and *more* share a key."""
    if item.kind is SetKind.HASH:
        return False
    ends = sorted(
        (each.first, each.last)
        for each in (*item.elements, *more)
        if isinstance(each, Cidr | PortRange)
    )
    return any(before[1] >= after[0] for before, after in itertools.pairwise(ends))


def _with_elements(item: Set, elements: set[Element]) -> Set:
    return Set(item.name, item.types, item.kind, frozenset(elements))


def _needs(rule: Rule) -> Iterator[tuple[str, str]]:
    """Yield what *rule* refers to: its name and where it must be."""
    for statement in rule.statements:
        match statement:
            case Jump(chain) | Goto(chain):
                yield chain, "chains"
            case Lookup(_, name, _):
                yield name, "sets"
            case VerdictLookup(_, name):
                yield name, "maps"
            case _:
                pass


def _refuse_unless(condition: bool, step: Operation, number: int) -> None:  # noqa: FBT001 - what is asserted
    if not condition:
        raise KernelError(
            f"nftables transaction at {type(step).__name__}: {errno.errorcode[number]}",
            errno=number,
        )
