"""What can be done to the table, and how it is written as nft text.

Operations speak of the one table (``objects.TABLE``); a transaction takes effect whole or not at
all.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import msgspec

from chita.dataplane.nftables.objects import (
    TABLE,
    Chain,
    Element,
    Rule,
    Set,
    Verdict,
    VerdictMap,
)
from chita.dataplane.nftables.render import (
    MAP_HEADER,
    chain_header,
    element_text,
    mapping_text,
    rule_text,
    set_header,
    value_text,
)


class AddTable(msgspec.Struct, frozen=True, tag=True):
    """Make the table, if there is none."""


class DeleteTable(msgspec.Struct, frozen=True, tag=True):
    """Remove the table with all in it; it must be there."""


class AddSet(msgspec.Struct, frozen=True, tag=True):
    """Make *set*, still without its elements."""

    set: Set


class AddElements(msgspec.Struct, frozen=True, tag=True):
    """Put *elements* into *set* (whose own elements do not matter here)."""

    set: Set
    elements: tuple[Element, ...]


class DeleteElements(msgspec.Struct, frozen=True, tag=True):
    """Take *elements* out of *set*."""

    set: Set
    elements: tuple[Element, ...]


class DeleteSet(msgspec.Struct, frozen=True, tag=True):
    """Remove the set, which no rule may name."""

    name: str


class AddMap(msgspec.Struct, frozen=True, tag=True):
    """Make *map*, still without its elements."""

    map: VerdictMap


class AddMappings(msgspec.Struct, frozen=True, tag=True):
    """Put *elements* into the map."""

    map: str
    elements: Mapping[str, Verdict]


class DeleteMappings(msgspec.Struct, frozen=True, tag=True):
    """Take *elements* out of the map."""

    map: str
    elements: Mapping[str, Verdict]


class DeleteMap(msgspec.Struct, frozen=True, tag=True):
    """Remove the map, which no rule may name."""

    name: str


class AddChain(msgspec.Struct, frozen=True, tag=True):
    """Make *chain*, still without its rules."""

    chain: Chain


class AddRules(msgspec.Struct, frozen=True, tag=True):
    """Append *rules* to the chain."""

    chain: str
    rules: tuple[Rule, ...]


class FlushChain(msgspec.Struct, frozen=True, tag=True):
    """Remove all rules of the chain."""

    name: str


class DeleteChain(msgspec.Struct, frozen=True, tag=True):
    """Remove the chain, to which nothing may jump."""

    name: str


Operation = (
    AddTable
    | DeleteTable
    | AddSet
    | AddElements
    | DeleteElements
    | DeleteSet
    | AddMap
    | AddMappings
    | DeleteMappings
    | DeleteMap
    | AddChain
    | AddRules
    | FlushChain
    | DeleteChain
)
Transaction = tuple[Operation, ...]
"""In order; a later operation may need an earlier one."""

_ELEMENTS_A_LINE = 1_000


def render_transaction(transaction: Transaction) -> str:
    """Return *transaction* as nft commands, which ``nft -f`` runs as one."""
    return "".join(f"{line}\n" for step in transaction for line in _lines(step))


def _lines(step: Operation) -> list[str]:  # noqa: PLR0911, PLR0912, C901 - one line an operation
    where = f"inet {TABLE}"
    match step:
        case AddTable():
            return [f"add table {where}"]
        case DeleteTable():
            return [f"delete table {where}"]
        case AddSet(item):
            return [f"add set {where} {item.name} {{ {set_header(item)} }}"]
        case AddElements(item, elements):
            texts = [element_text(element) for element in elements]
            return _batched(f"add element {where} {item.name}", texts)
        case DeleteElements(item, elements):
            texts = [element_text(element) for element in elements]
            return _batched(f"delete element {where} {item.name}", texts)
        case DeleteSet(name):
            return [f"delete set {where} {name}"]
        case AddMap(map_):
            return [f"add map {where} {map_.name} {{ {MAP_HEADER} }}"]
        case AddMappings(name, mappings):
            texts = [mapping_text(key, verdict) for key, verdict in mappings.items()]
            return _batched(f"add element {where} {name}", texts)
        case DeleteMappings(name, mappings):
            return _batched(f"delete element {where} {name}", [value_text(k) for k in mappings])
        case DeleteMap(name):
            return [f"delete map {where} {name}"]
        case AddChain(chain):
            header = f" {{ {chain_header(chain)} }}" if chain.hook else ""
            return [f"add chain {where} {chain.name}{header}"]
        case AddRules(name, rules):
            return [f"add rule {where} {name} {rule_text(rule)}" for rule in rules]
        case FlushChain(name):
            return [f"flush chain {where} {name}"]
        case DeleteChain(name):
            return [f"delete chain {where} {name}"]


def _batched(command: str, texts: list[str]) -> list[str]:
    starts = range(0, len(texts), _ELEMENTS_A_LINE)
    batches = (itertools.islice(texts, start, start + _ELEMENTS_A_LINE) for start in starts)
    return [f"{command} {{ {', '.join(batch)} }}" for batch in batches]
