"""What the records promise of each rung between two nodes, before anything was probed.

Each function answers for one rung, with an `Offer` or with a `Refusal` that says why there is none.
"""

from __future__ import annotations

import msgspec

from chita.desired.paths import PathKind
from chita.desired.tunnels import Endpoint
from chita.fabric import mtu
from chita.fabric.candidates import is_dialable, open_candidates, reflexive
from chita.fabric.neighbours import are_peered, private_address, shared_subnet
from chita.model.cluster import ClusterState
from chita.model.encapsulation import location_encap
from chita.model.ippool import Encap
from chita.model.net import Address
from chita.model.node import Candidate, CandidateKind, FabricNode, Nat
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
    if any(outer == held.address for held in here.interfaces):
        return _refused_both(
            f"{there.name} says it has {outer}, and so have we: two networks, one label"
        )
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
    dialled = _dialled(here, there)
    if dialled is not None:
        at = f"{there.name} at {dialled.address}"
        if dialled.kind is CandidateKind.MAPPED:
            at += f" port {dialled.port}, as its annotation says"
        reason = f"both ends can be dialled, {at}"
        if not is_dialable(here):
            reason = f"we are behind a NAT and dial {at}"
        return _internet(PathKind.WIREGUARD, here, there, dialled, reason)
    if is_dialable(here):
        family = open_candidates(here)[0].address.family
        return Offer(
            kind=PathKind.WIREGUARD,
            reason=f"{there.name} is behind a NAT and dials us",
            mtu_bytes=_internet_mtu(here, there, family),
        )
    return Refusal(PathKind.WIREGUARD, f"neither {here.name} nor {there.name} can be dialled")


def _dialled(here: FabricNode, there: FabricNode) -> Candidate | None:
    """Return where we dial *there*: at an address of a family that we have, if there is one."""
    found = open_candidates(there)
    families = {held.address.family for held in here.interfaces}
    return next((it for it in found if it.address.family in families), next(iter(found), None))


def _punched(here: FabricNode, there: FabricNode) -> Rating:
    if is_dialable(here) or is_dialable(there):
        return Refusal(PathKind.PUNCHED, "not needed, one end can be dialled")
    for node in (here, there):
        if not node.udp_passes:
            return Refusal(PathKind.PUNCHED, f"no UDP leaves the network of {node.name}")
        if node.nat is Nat.ENDPOINT_DEPENDENT:
            why = f"the NAT of {node.name} gives each destination another port"
            return Refusal(PathKind.PUNCHED, why)
        if reflexive(node) is None:
            why = f"no two gateways have told {node.name} how they see it"
            return Refusal(PathKind.PUNCHED, why)
    met = reflexive(there)
    assert met is not None
    reason = f"both NATs keep their mapping, {there.name} is seen at {met.address} port {met.port}"
    return _internet(PathKind.PUNCHED, here, there, met, reason)


def _internet(
    kind: PathKind, here: FabricNode, there: FabricNode, dialled: Candidate, reason: str
) -> Offer:
    return Offer(
        kind=kind,
        reason=reason,
        outer=dialled.address,
        port=dialled.port,
        mtu_bytes=_internet_mtu(here, there, dialled.address.family),
        needs_proof=kind is PathKind.PUNCHED,
    )


def _internet_mtu(here: FabricNode, there: FabricNode, family: int) -> int:
    wire = min(here.wire_mtu_bytes, there.wire_mtu_bytes, mtu.INTERNET_MTU)
    return mtu.wireguard_mtu(wire, outer_family=family)


TUNNEL_KINDS = (PathKind.PRIVATE, PathKind.WIREGUARD, PathKind.PUNCHED)


def _refused_both(why: str) -> list[Rating]:
    return [Refusal(PathKind.ROUTED, why), Refusal(PathKind.VXLAN, why)]


_ELSEWHERE = _refused_both("another location")
