"""Masquerade: pods reach the world outside the cluster under their node's address (natOutgoing)."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from chita.dataplane.nftables.host import ANY_WORKLOAD
from chita.dataplane.nftables.objects import (
    NFPROTO_IPV4,
    NFPROTO_IPV6,
    Chain,
    ChainType,
    Compare,
    Field,
    Hook,
    Lookup,
    Masquerade,
    Rule,
    Sense,
    Set,
)
from chita.dataplane.nftables.sets import FAMILIES, network_set
from chita.model.net import Cidr

MASQUERADE_SOURCES = {4: "masquerade-sources4", 6: "masquerade-sources6"}
CLUSTER_NETWORKS = {4: "cluster-networks4", 6: "cluster-networks6"}
_NFPROTO = {4: NFPROTO_IPV4, 6: NFPROTO_IPV6}
_SOURCE = {4: Field.IP_SADDR, 6: Field.IP6_SADDR}
_DESTINATION = {4: Field.IP_DADDR, 6: Field.IP6_DADDR}

AFTER_SERVICES = 110
"""10 after srcnat (linux/netfilter_ipv4.h), where kube-proxy rewrites what it must."""


class Masquerading(msgspec.Struct, frozen=True):
    """What masquerades: nothing, or a chain that is always the same and sets with the networks."""

    chains: tuple[Chain, ...] = ()
    sets: tuple[Set, ...] = ()


def masquerade(sources: Iterable[Cidr], cluster: Iterable[Cidr]) -> Masquerading:
    """Return what masquerades traffic from *sources* to anything but *cluster*.

    Without sources there is not even the chain: with one of type nat, the kernel looks for a
    translation of every new flow of the namespace (2 us of a connection).
    """
    outgoing, inside = frozenset(sources), frozenset(cluster)
    if not outgoing:
        return Masquerading()
    sets = [network_set(MASQUERADE_SOURCES[family], family, outgoing) for family in FAMILIES]
    sets += [network_set(CLUSTER_NETWORKS[family], family, inside) for family in FAMILIES]
    return Masquerading((_chain(),), tuple(sets))


def _chain() -> Chain:
    rules = tuple(
        Rule(
            (
                Compare(Field.OIFNAME, ANY_WORKLOAD, Sense.IS_NOT),
                Compare(Field.NFPROTO, _NFPROTO[family]),
                Lookup((_SOURCE[family],), MASQUERADE_SOURCES[family]),
                Lookup((_DESTINATION[family],), CLUSTER_NETWORKS[family], Sense.IS_NOT),
                Masquerade(),
            ),
            "pods to outside the cluster",
        )
        for family in FAMILIES
    )
    return Chain("nat-postrouting", rules, Hook(ChainType.NAT, "postrouting", AFTER_SERVICES))
