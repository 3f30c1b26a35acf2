"""What two nodes claim at once, of which only one can be right: keys and addresses.

A machine that was cloned with its state directory has the key of the other. Nobody can tell whose
it is, so that neither gets a tunnel; everybody else is left alone. Nor can anybody tell who answers
at a private address that two nodes of one location have, usually since one of them stands elsewhere
and its label is wrong: neither is reached over the location's network, where its packets, and
probes, would go to a stranger.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from chita.model.node import FabricNode
from chita.model.remembered import Remembered, RememberedEach

Claim = tuple[frozenset[str], tuple[str, int, int] | None]
"""What one node claims: its WireGuard keys, and an address in its location."""


class Claims(msgspec.Struct, frozen=True):
    """Who else claims what a node claims, by the node's name; only of those with rivals."""

    keys: Mapping[str, tuple[str, ...]]
    addresses: Mapping[str, tuple[str, ...]]


def claims(nodes: Mapping[str, FabricNode]) -> Claims:
    """Return what is claimed twice."""
    claimed = _CLAIMED.of("", (), (nodes,), lambda name: _claim(nodes[name]))
    return _CLAIMS.of("", (claimed,), lambda: Claims(key_rivals(nodes), address_rivals(nodes)))


def key_rivals(nodes: Mapping[str, FabricNode]) -> dict[str, tuple[str, ...]]:
    """Return who else claims a WireGuard key of a node, by its name; only those with rivals."""
    return _rivals((key, node.name) for node in nodes.values() for key in node.wireguard_keys)


def address_rivals(nodes: Mapping[str, FabricNode]) -> dict[str, tuple[str, ...]]:
    """Return who else of its location claims a node's private address, by the node's name."""
    return _rivals(
        (address, node.name) for node in nodes.values() if (address := _address(node)) is not None
    )


def _claim(node: FabricNode) -> Claim:
    return node.wireguard_keys, _address(node)


def _address(node: FabricNode) -> tuple[str, int, int] | None:
    """Return the location, family and number of the address that *node*'s neighbours dial."""
    if not node.interfaces:
        return None
    address = node.interfaces[0].address
    return node.location, address.family, address.value


def _rivals(claimed: Iterable[tuple[object, str]]) -> dict[str, tuple[str, ...]]:
    """Return who else claims the same, from pairs of what is claimed and by whom."""
    first: dict[object, str] = {}
    shared: dict[object, set[str]] = {}
    for what, name in claimed:
        other = first.setdefault(what, name)
        if other != name:
            shared.setdefault(what, {other}).add(name)
    return {
        name: tuple(sorted(names - {name})) for names in shared.values() for name in sorted(names)
    }


_CLAIMED: RememberedEach[Claim] = RememberedEach()
_CLAIMS: Remembered[Claims] = Remembered()
