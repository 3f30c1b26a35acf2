"""Which way each other node is reached: the path ladder, decided from published records alone.

::

    same location?  ─ yes ─ encryption All ............................. wireguard (private address)
          │                 shared subnet and no encapsulation there ... routed
          │                 else ....................................... vxlan
          no
          │
    either end dialable? ─ yes ......................................... wireguard (public address)
          no
          │
    a gateway of either location, else of a third? ..................... relayed
          no ............................................................ none
"""

from __future__ import annotations

from collections.abc import Iterable

from chita.desired.paths import Path, PathKind
from chita.fabric import mtu
from chita.fabric.gateways import is_dialable, is_gateway, rank
from chita.model.cluster import ClusterState
from chita.model.ippool import Encap
from chita.model.net import Address
from chita.model.node import FabricNode
from chita.model.settings import Encryption

_STRENGTH = {Encap.NEVER: 0, Encap.CROSS_SUBNET: 1, Encap.ALWAYS: 2}


def paths(cluster: ClusterState, local: str) -> dict[str, Path]:
    """Return how *local* reaches every other node, by node name.

    A node that has published nothing yet is there too, with kind NONE. Output depends on the
    records alone, never on the order in which they came.
    """
    here = cluster.fabric_nodes.get(local)
    found: dict[str, Path] = {}
    for name in sorted((cluster.nodes.keys() | cluster.fabric_nodes.keys()) - {local}):
        there = cluster.fabric_nodes.get(name)
        if here is None or there is None:
            missing = local if here is None else name
            found[name] = _no_path(name, f"{missing} has not joined the fabric yet")
        else:
            found[name] = _path(cluster, here, there)
    return found


def location_encap(cluster: ClusterState, location: str) -> Encap:
    """Return how nodes of *location* reach each other's pods.

    What its Location says; else the strongest of the pools, since one node has one path; VXLAN
    while there is no pool, for it works in every cloud.
    """
    said = cluster.locations.get(location)
    if said is not None and said.encap is not None:
        return said.encap
    encaps = [pool.encap for pool in cluster.pools.values() if not pool.disabled]
    return max(encaps, key=_STRENGTH.__getitem__, default=Encap.ALWAYS)


def shared_subnet(here: FabricNode, there: FabricNode, family: int) -> tuple[str, Address] | None:
    """Return our device and the other node's address in a subnet both stand in, if any."""
    for ours in here.interfaces:
        if ours.address.family != family:
            continue
        for theirs in there.interfaces:
            # An address that both have leads to nobody: a bridge inside each of them.
            if theirs.address == ours.address:
                continue
            if theirs.address in ours.subnet and ours.address in theirs.subnet:
                return ours.device, theirs.address
    return None


def _path(cluster: ClusterState, here: FabricNode, there: FabricNode) -> Path:
    if here.location == there.location:
        return _inside(cluster, here, there)
    if not (here.wireguard_key and there.wireguard_key):
        missing = there if here.wireguard_key else here
        return _no_path(there.name, f"{missing.name} has published no WireGuard key")
    if is_dialable(here) or is_dialable(there):
        return _wireguard(here, there)
    return _relayed(cluster, here, there)


def _inside(cluster: ClusterState, here: FabricNode, there: FabricNode) -> Path:
    wire = min(here.wire_mtu_bytes, there.wire_mtu_bytes)
    outer = private_address(there)
    if outer is None:
        return _no_path(there.name, f"{there.name} has published no private address")
    if cluster.setting.encryption is Encryption.ALL:
        return Path(
            node=there.name,
            kind=PathKind.WIREGUARD,
            reason="encryption is All, also inside a location",
            first_hop=there.name,
            first_hop_kind=PathKind.WIREGUARD,
            outer=outer,
            mtu_bytes=mtu.wireguard_mtu(wire, outer_family=outer.family),
        )
    encap = location_encap(cluster, here.location)
    shared = shared_subnet(here, there, outer.family)
    if encap is Encap.NEVER or (encap is Encap.CROSS_SUBNET and shared is not None):
        kind, inner = PathKind.ROUTED, wire
        reason = f"same subnet of {here.location}, whose encapsulation is {encap}"
        if shared is None:
            reason = f"encapsulation in {here.location} is Never: its routers must know the blocks"
    else:
        kind, inner = PathKind.VXLAN, mtu.vxlan_mtu(wire, outer_family=outer.family)
        reason = f"encapsulation in {here.location} is {encap}"
        if encap is Encap.CROSS_SUBNET:
            reason += " and the two nodes share no subnet"
    return Path(
        node=there.name,
        kind=kind,
        reason=reason,
        first_hop=there.name,
        first_hop_kind=kind,
        outer=outer,
        mtu_bytes=inner,
    )


def _wireguard(here: FabricNode, there: FabricNode) -> Path:
    outer = there.endpoints[0] if is_dialable(there) else None
    if outer is None:
        reason = f"{there.name} is behind a NAT and dials us"
    elif is_dialable(here):
        reason = "another location, both ends can be dialled"
    else:
        reason = f"we are behind a NAT and dial {there.name}"
    family = (outer or here.endpoints[0]).family
    wire = min(here.wire_mtu_bytes, there.wire_mtu_bytes, mtu.INTERNET_MTU)
    return Path(
        node=there.name,
        kind=PathKind.WIREGUARD,
        reason=reason,
        first_hop=there.name,
        first_hop_kind=PathKind.WIREGUARD,
        outer=outer,
        mtu_bytes=mtu.wireguard_mtu(wire, outer_family=family),
    )


def _relayed(cluster: ClusterState, here: FabricNode, there: FabricNode) -> Path:
    why = f"neither {here.name} nor {there.name} can be dialled"
    relay = _relay(cluster.fabric_nodes.values(), here, there)
    if relay is None:
        return _no_path(there.name, f"{why} and no location has a gateway")
    first = _path(cluster, here, relay)
    second = _path(cluster, relay, there)
    if PathKind.NONE in (first.kind, second.kind):
        broken = first if first.kind is PathKind.NONE else second
        return _no_path(there.name, f"{why}; {relay.name} would relay, but {broken.reason}")
    return Path(
        node=there.name,
        kind=PathKind.RELAYED,
        reason=f"{why}; {relay.name} in {relay.location} relays",
        relay=relay.name,
        first_hop=relay.name,
        first_hop_kind=first.kind,
        outer=first.outer,
        mtu_bytes=min(first.mtu_bytes, second.mtu_bytes),
    )


def _relay(nodes: Iterable[FabricNode], here: FabricNode, there: FabricNode) -> FabricNode | None:
    """Return the gateway between two nodes; both ends choose the same one.

    The location that sorts first comes first, so that the choice does not depend on the side.
    """
    gateways = [node for node in nodes if is_gateway(node)]
    ends = sorted({here.location, there.location})
    pair = (here.name, there.name)
    for location in ends:
        inside = [node for node in gateways if node.location == location]
        if inside:
            return rank(inside, pair)[0]
    return next(iter(rank(gateways, pair)), None)


def private_address(node: FabricNode) -> Address | None:
    """Return the address that *node*'s neighbours in its location dial."""
    return node.interfaces[0].address if node.interfaces else None


def _no_path(node: str, reason: str) -> Path:
    return Path(node=node, kind=PathKind.NONE, reason=reason)
