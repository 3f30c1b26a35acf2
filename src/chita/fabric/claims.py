"""What two nodes claim at once, of which only one can be right: keys and addresses.

A machine that was cloned with its state directory has the key of the other. Nobody can tell whose
it is, so that neither gets a tunnel; everybody else is left alone. Nor can anybody tell who answers
at a private address that two nodes of one location have, usually since one of them stands elsewhere
and its label is wrong: neither is reached over the location's network, where its packets, and
probes, would go to a stranger.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from chita.model.node import FabricNode


class Claims(msgspec.Struct, frozen=True):
    """Who else claims what a node claims, by the node's name; only of those with rivals."""

    keys: Mapping[str, tuple[str, ...]]
    addresses: Mapping[str, tuple[str, ...]]


def claims(nodes: Mapping[str, FabricNode]) -> Claims:
    """Return what is claimed twice."""
    return Claims(key_rivals(nodes), address_rivals(nodes))


def key_rivals(nodes: Mapping[str, FabricNode]) -> dict[str, tuple[str, ...]]:
    """Return who else claims a WireGuard key of a node, by its name; only those with rivals."""
    holders: dict[str, list[str]] = defaultdict(list)
    for node in nodes.values():
        for key in _keys(node):
            holders[key].append(node.name)
    return _rivals(holders.values())


def address_rivals(nodes: Mapping[str, FabricNode]) -> dict[str, tuple[str, ...]]:
    """Return who else of its location claims a node's private address, by the node's name."""
    holders: dict[object, list[str]] = defaultdict(list)
    for node in nodes.values():
        if node.interfaces:
            holders[node.location, node.interfaces[0].address].append(node.name)
    return _rivals(holders.values())


def _keys(node: FabricNode) -> set[str]:
    previous = node.wireguard_previous
    keys = {node.wireguard_key} | ({previous.public_key} if previous is not None else set())
    return keys - {""}


def _rivals(groups: Iterable[Sequence[str]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for names in groups:
        if len(names) > 1:
            for name in names:
                found[name] = tuple(sorted(set(names) - {name}))
    return found
