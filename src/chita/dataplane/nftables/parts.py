"""Names of what is in the table, by which one part can be looked at again."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from chita.dataplane.nftables.objects import Ruleset, VerdictMap
from chita.dataplane.nftables.outline import Outline, chain_outline, unknown_chain


class ChainPart(msgspec.Struct, frozen=True, tag=True):
    """A chain with its rules, by name."""

    name: str


class SetPart(msgspec.Struct, frozen=True, tag=True):
    """A set or map with its elements, by name."""

    name: str


class TablePart(msgspec.Struct, frozen=True, tag=True):
    """The table as a whole: nobody knows which part."""


Part = ChainPart | SetPart
Touched = frozenset[Part | TablePart]


def parts(ruleset: Ruleset) -> Iterator[Part]:
    """Yield all parts of *ruleset*."""
    yield from map(ChainPart, ruleset.chains)
    yield from map(SetPart, (*ruleset.sets, *ruleset.maps))


def part_outline(ruleset: Ruleset, part: Part) -> Outline:
    """Return what reading *part* would give of *ruleset*; nothing, where it has no such part."""
    name = part.name
    match part:
        case ChainPart():
            chain = ruleset.chains.get(name)
            return Outline({}, {}, {} if chain is None else {name: chain_outline(chain)})
        case SetPart():
            item, map_ = ruleset.sets.get(name), ruleset.maps.get(name)
            return Outline(
                {} if item is None else {name: item},
                {} if map_ is None else {name: dict(map_.elements)},
                {},
            )


def with_part(ruleset: Ruleset, part: Part, found: Outline) -> Ruleset:
    """Return *ruleset* in which *part* is what was *found* of it, which is another than it was."""
    sets, maps, chains = dict(ruleset.sets), dict(ruleset.maps), dict(ruleset.chains)
    match part:
        case ChainPart(name):
            chains.pop(name, None)
            chains |= {key: unknown_chain(key, item) for key, item in found.chains.items()}
        case SetPart(name):
            sets.pop(name, None)
            maps.pop(name, None)
            sets |= found.sets
            maps |= {key: VerdictMap(key, elements) for key, elements in found.maps.items()}
    return Ruleset(sets, maps, chains)
