"""A transaction as one netlink batch: all of it takes effect, or none (RFC 3549 framing)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from chita.dataplane.netlink.message import nested, text
from chita.dataplane.nftables.attributes import Flag, Message, number
from chita.dataplane.nftables.elements import (
    element_messages,
    map_attributes,
    mapping_messages,
    set_attributes,
)
from chita.dataplane.nftables.expressions import encode_rule
from chita.dataplane.nftables.objects import TABLE, Chain, Hook
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

Encoded = tuple[Message, int, bytes]
"""Message, its flags beside REQUEST, its attributes."""

HOOK_NUMBERS = {"prerouting": 0, "input": 1, "forward": 2, "output": 3, "postrouting": 4}
"""enum nf_inet_hooks."""
ACCEPT_POLICY = 1


def encode(transaction: Transaction) -> Iterator[tuple[Operation, Encoded]]:
    """Yield the messages of *transaction*, each with the operation it is for."""
    set_ids = itertools.count(1)
    for step in transaction:
        for encoded in _messages(step, set_ids):
            yield step, encoded


def _messages(step: Operation, set_ids: Iterator[int]) -> Iterator[Encoded]:  # noqa: C901, PLR0912 - one case an operation
    match step:
        case AddTable():
            yield Message.NEWTABLE, Flag.CREATE, text(1, TABLE)
        case DeleteTable():
            yield Message.DELTABLE, 0, text(1, TABLE)
        case AddSet(item):
            yield Message.NEWSET, Flag.CREATE | Flag.EXCL, set_attributes(item, next(set_ids))
        case AddMap(map_):
            yield Message.NEWSET, Flag.CREATE | Flag.EXCL, map_attributes(map_, next(set_ids))
        case AddElements(item, elements):
            for body in element_messages(item, elements):
                yield Message.NEWSETELEM, Flag.CREATE | Flag.EXCL, body
        case DeleteElements(item, elements):
            for body in element_messages(item, elements):
                yield Message.DELSETELEM, 0, body
        case AddMappings(name, mappings):
            for body in mapping_messages(name, mappings):
                yield Message.NEWSETELEM, Flag.CREATE | Flag.EXCL, body
        case DeleteMappings(name, mappings):
            for body in mapping_messages(name, mappings):
                yield Message.DELSETELEM, 0, body
        case DeleteSet(name) | DeleteMap(name):
            yield Message.DELSET, 0, text(1, TABLE) + text(2, name)
        case AddChain(chain):
            yield Message.NEWCHAIN, Flag.CREATE | Flag.EXCL, chain_attributes(chain)
        case DeleteChain(name):
            yield Message.DELCHAIN, 0, text(1, TABLE) + text(3, name)
        case FlushChain(name):
            yield Message.DELRULE, 0, text(1, TABLE) + text(2, name)
        case AddRules(name, rules):
            for rule in rules:
                encoded = encode_rule(name, rule, set_ids)
                for made, filled in encoded.sets:
                    yield Message.NEWSET, Flag.CREATE, made
                    yield Message.NEWSETELEM, Flag.CREATE, filled
                yield Message.NEWRULE, Flag.CREATE | Flag.APPEND, encoded.attributes


def chain_attributes(chain: Chain, table: str = TABLE) -> bytes:
    """Return the attributes that make a chain."""
    # NFTA_CHAIN_TABLE, _NAME
    name = text(1, table) + text(3, chain.name)
    return name if chain.hook is None else name + _hook(chain.hook)


def _hook(hook: Hook) -> bytes:
    # NFTA_CHAIN_HOOK { HOOKNUM, PRIORITY }, _POLICY, _TYPE
    place = nested(4, number(1, HOOK_NUMBERS[hook.name]), number(2, hook.priority))
    return place + number(5, ACCEPT_POLICY) + text(7, hook.type)
