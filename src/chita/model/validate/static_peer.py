"""Rules over several fields of a StaticPeer.

Whether its addresses are free needs other objects: `chita.model.static_claims` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Final

from chita.model.net import Address, Cidr
from chita.model.problem import Problem

Raw = Mapping[str, Any]

_SPECIAL: Final = tuple(
    (Cidr.parse(text), name)
    for text, name in (
        ("0.0.0.0/8", "this network (RFC 1122)"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("224.0.0.0/3", "multicast and reserved"),
        ("::/127", "loopback"),
        ("fe80::/10", "link-local"),
        ("ff00::/8", "multicast"),
    )
)


def static_peer_problems(obj: Raw) -> Iterator[Problem]:
    """Yield what is wrong with a StaticPeer: addresses that no machine can have, or has twice."""
    spec = obj.get("spec") or {}
    addresses = [Address.parse(text) for text in spec.get("addresses") or []]
    networks = [Cidr.parse(text) for text in spec.get("networks") or []]
    if not addresses:
        yield Problem("spec.addresses", "is empty; write its own address in the fabric")
    if len({address.family for address in addresses}) < len(addresses):
        yield Problem(
            "spec.addresses",
            "has two of one family; write one of each, and what it routes in networks",
        )
    own = [("addresses", Cidr.of(address)) for address in addresses]
    own += [("networks", net) for net in networks]
    for field, net in own:
        if net.prefix == 0:
            yield Problem(
                f"spec.{field}",
                f"{net} is everything; write the networks that are behind the machine",
            )
            continue
        for special, name in _SPECIAL:
            if net.overlaps(special):
                yield Problem(f"spec.{field}", f"{net} overlaps {special}: {name}")
    held = sorted(net for _, net in own)
    for one, other in pairwise(held):
        if one.overlaps(other):
            yield Problem("spec.networks", f"{one} and {other} overlap; leave the smaller one out")
