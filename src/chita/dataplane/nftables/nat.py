"""Masquerade: pods reach the world outside the cluster under their node's address (natOutgoing)."""

from __future__ import annotations

from collections.abc import Iterable

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


def nat_chain() -> Chain:
    """Return the chain that masquerades; it is the same always, the sets carry the networks."""
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


def nat_sets(sources: Iterable[Cidr], cluster: Iterable[Cidr]) -> list[Set]:
    """Return the sets of networks whose traffic is masqueraded, and towards which it is not."""
    outgoing, inside = frozenset(sources), frozenset(cluster)
    sets = [network_set(MASQUERADE_SOURCES[family], family, outgoing) for family in FAMILIES]
    return sets + [network_set(CLUSTER_NETWORKS[family], family, inside) for family in FAMILIES]
