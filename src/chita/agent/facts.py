"""What a node learns of itself and tells the others: its FabricNode record."""

from __future__ import annotations

import re
from collections.abc import Iterable

from chita.agent.identity import Identity
from chita.fabric.mtu import AZURE_WIRE_MTU
from chita.model.cluster import ClusterState
from chita.model.location import Location
from chita.model.node import FabricNode, HostInterface, Node

GATEWAY_WEIGHT_LABEL = "chita.dev/gateway-weight"
"""Label of a Node: how much it relays for its location; ``0`` drains it. Dialable nodes: 1."""

OUR_DEVICES = ("chita-", "cali")
"""Prefixes of devices of ours."""

_INNER_DEVICES = re.compile(
    r"lo|(docker|veth|virbr|lxcbr|lxdbr|cni|cbr|flannel|podman|kube-ipvs|nodelocaldns|dummy|tunl).*"
    r"|br-[0-9a-f]{12}"
)
"""Devices of others that lead to something inside the node, not out of it.

As Calico's first-found detection skips them. Their addresses repeat on every node: 172.17.0.1 is
Docker's bridge, and no way to anybody.
"""


def is_way_out(device: str) -> bool:
    """Whether *device* may lead out of the node, by its name."""
    return not (device.startswith(OUR_DEVICES) or _INNER_DEVICES.fullmatch(device))


def fabric_node(
    cluster: ClusterState,
    identity: Identity,
    interfaces: Iterable[HostInterface],
    interface_mtu_bytes: int,
) -> FabricNode:
    """Return this node's record, from its Node, its interfaces and its keys.

    Until the API knows the Node, its location is a place of its own: nothing is merged on a guess.
    """
    node = cluster.nodes.get(identity.node)
    internal = node.internal_addresses if node is not None else ()
    location = node.location if node is not None else f"site-{identity.node}"
    endpoints = node.external_addresses if node is not None else ()
    return FabricNode(
        name=identity.node,
        location=location,
        # The first is what others in the location dial: what the Node says, if it says so.
        interfaces=tuple(
            sorted(
                interfaces, key=lambda i: (i.address not in internal, i.address.family, i.address)
            )
        ),
        endpoints=endpoints,
        wireguard_key=identity.wireguard_public_key,
        wireguard_port=cluster.setting.wireguard_port,
        vtep_mac=identity.vtep_mac,
        wire_mtu_bytes=wire_mtu(node, cluster.locations.get(location), interface_mtu_bytes),
        gateway_weight=_gateway_weight(node) if endpoints else 0,
    )


def wire_mtu(node: Node | None, location: Location | None, interface_mtu_bytes: int) -> int:
    """Return the largest packet this node's network carries: the smallest that anyone states.

    Azure's interfaces promise 1500, but larger than 1400 is dropped without a word.
    """
    stated = [interface_mtu_bytes]
    if location is not None and location.wire_mtu_bytes is not None:
        stated.append(location.wire_mtu_bytes)
    if node is not None and node.provider_id.startswith("azure://"):
        stated.append(AZURE_WIRE_MTU)
    return min(stated)


def _gateway_weight(node: Node | None) -> int:
    text = node.labels.get(GATEWAY_WEIGHT_LABEL, "1") if node is not None else "0"
    return int(text) if text.isascii() and text.isdigit() else 0
