"""What the records promise of each rung between two nodes, before anything was probed.

Each function answers for one rung, with an `Offer` or with a `Refusal` that says why there is none.
"""

from __future__ import annotations

import msgspec

from chita.desired.paths import PathKind
from chita.desired.tunnels import Endpoint
from chita.fabric import mtu
from chita.fabric.gateways import is_dialable
from chita.fabric.neighbours import are_peered, location_encap, private_address, shared_subnet
from chita.model.cluster import ClusterState
from chita.model.ippool import Encap
from chita.model.net import Address
from chita.model.node import FabricNode
from chita.model.settings import Encryption


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A rung that should carry packets, by what the two nodes and the administrator say."""

    kind: PathKind
    reason: str
    mtu_bytes: int
    outer: Address | None = None
    """Where its packets go; None: the other end dials us."""
    port: int = 0
    """The UDP port at *outer*, for the rungs of WireGuard."""
    needs_proof: bool = False
    """Whether it counts only once a probe came back: nobody promises that it works."""

    @property
    def dial(self) -> Endpoint | None:
        """Where the session is dialled over this rung."""
        return Endpoint(self.outer, self.port) if self.outer is not None and self.port else None


class Refusal(msgspec.Struct, frozen=True):
    """A rung that the records rule out."""

    kind: PathKind
    reason: str


Rating = Offer | Refusal


def local_offers(cluster: ClusterState, here: FabricNode, there: FabricNode) -> list[Rating]:
    """Return what is promised of ROUTED and VXLAN, in this order."""
    if here.location != there.location:
        return _ELSEWHERE
    outer = private_address(there)
    if outer is None:
        return _refused_both(f"{there.name} has published no private address")
    if cluster.setting.encryption is Encryption.ALL:
        return _refused_both("encryption is All, also inside a location")
    wire = min(here.wire_mtu_bytes, there.wire_mtu_bytes)
    place, encap = here.location, location_encap(cluster, here.location)
    shared = shared_subnet(here, there, outer.family)
    is_encapsulated = encap is Encap.ALWAYS or (encap is Encap.CROSS_SUBNET and shared is None)
    if is_encapsulated:
        why = f"encapsulation in {place} is {encap}"
        if encap is Encap.CROSS_SUBNET:
            why += " and the two nodes share no subnet"
        inner = mtu.vxlan_mtu(wire, outer_family=outer.family)
        return [
            Refusal(PathKind.ROUTED, why),
            Offer(kind=PathKind.VXLAN, reason=why, outer=outer, mtu_bytes=inner),
        ]
    why = f"same subnet of {place}, whose encapsulation is {encap}"
    if shared is None:
        why = f"encapsulation in {place} is Never: its routers must know the blocks"
    return [
        Offer(kind=PathKind.ROUTED, reason=why, outer=outer, mtu_bytes=wire),
        Refusal(PathKind.VXLAN, why),
    ]


def tunnel_offers(cluster: ClusterState, here: FabricNode, there: FabricNode) -> list[Rating]:
    """Return what is promised of PRIVATE, WIREGUARD and PUNCHED, in this order."""
    for node in (here, there):
        if not (node.wireguard_key and node.wireguard_port):
            what = "key" if not node.wireguard_key else "port"
            why = f"{node.name} has published no WireGuard {what}"
            return [Refusal(kind, why) for kind in TUNNEL_KINDS]
    return [_private(cluster, here, there), _public(here, there), _punched(here, there)]


def _private(cluster: ClusterState, here: FabricNode, there: FabricNode) -> Rating:
    kind, outer = PathKind.PRIVATE, private_address(there)
    is_inside = here.location == there.location
    if not (is_inside or are_peered(cluster, here.location, there.location)):
        return Refusal(kind, f"{here.location} and {there.location} are not said to be peered")
    if outer is None:
        return Refusal(kind, f"{there.name} has published no private address")
    if any(outer == held.address for held in here.interfaces):
        return Refusal(kind, f"{there.name} says it has {outer}, and so have we")
    wire = min(here.wire_mtu_bytes, there.wire_mtu_bytes)
    if is_inside:
        reason = f"encrypted inside {here.location}"
        if cluster.setting.encryption is Encryption.ALL:
            reason = "encryption is All, also inside a location"
    elif any(outer in held.subnet for held in here.interfaces):
        return Refusal(kind, f"{outer} of {there.name} is in a network of our own location too")
    else:
        wire = min(wire, mtu.PEERING_MTU)
        reason = f"{here.location} and {there.location} are peered"
    return Offer(
        kind=kind,
        reason=reason,
        outer=outer,
        port=there.wireguard_port,
        mtu_bytes=mtu.wireguard_mtu(wire, outer_family=outer.family),
        needs_proof=not is_inside,
    )


def _public(here: FabricNode, there: FabricNode) -> Rating:
    outer = _public_address(here, there)
    if outer is not None:
        reason = f"both ends can be dialled, {there.name} at {outer}"
        if not is_dialable(here):
            reason = f"we are behind a NAT and dial {there.name} at {outer}"
        family = outer.family
    elif is_dialable(here):
        reason = f"{there.name} is behind a NAT and dials us"
        family = here.endpoints[0].family
    else:
        return Refusal(PathKind.WIREGUARD, f"neither {here.name} nor {there.name} can be dialled")
    wire = min(here.wire_mtu_bytes, there.wire_mtu_bytes, mtu.INTERNET_MTU)
    return Offer(
        kind=PathKind.WIREGUARD,
        reason=reason,
        outer=outer,
        port=there.wireguard_port if outer is not None else 0,
        mtu_bytes=mtu.wireguard_mtu(wire, outer_family=family),
    )


def _public_address(here: FabricNode, there: FabricNode) -> Address | None:
    """Return where we dial *there*: of a family that we have ourselves, if there is one."""
    if not is_dialable(there):
        return None
    families = {held.address.family for held in here.interfaces}
    return next((it for it in there.endpoints if it.family in families), there.endpoints[0])


def _punched(here: FabricNode, there: FabricNode) -> Rating:
    if is_dialable(here) or is_dialable(there):
        return Refusal(PathKind.PUNCHED, "not needed, one end can be dialled")
    return Refusal(PathKind.PUNCHED, "no gateway has said how their NATs map them")


TUNNEL_KINDS = (PathKind.PRIVATE, PathKind.WIREGUARD, PathKind.PUNCHED)


def _refused_both(why: str) -> list[Rating]:
    return [Refusal(PathKind.ROUTED, why), Refusal(PathKind.VXLAN, why)]


_ELSEWHERE = _refused_both("another location")
