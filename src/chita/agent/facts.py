"""What a node learns of itself and tells the others: its FabricNode record.

What the Node object says is believed first: an administrator or the cloud's own controller wrote
it. The metadata service completes it (`chita.cloud`). What only the firmware says decides nothing
but a smaller packet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec

from chita.agent.identity import Identity
from chita.cloud.facts import NOTHING, CloudFacts, Fact, Provider, Source, combined, name_fact
from chita.convert.kubernetes import LOCATION, REGION, location_of
from chita.errors import ParseError
from chita.fabric.candidates import listen_port, split_endpoint
from chita.fabric.gateways import GATEWAY_WEIGHT_LABEL
from chita.fabric.mtu import AZURE_WIRE_MTU
from chita.fabric.nat import UNJUDGED, Judgement, published, stated
from chita.model.cluster import ClusterState
from chita.model.epochs import port_in
from chita.model.location import Location
from chita.model.net import Address
from chita.model.node import (
    Candidate,
    CandidateKind,
    FabricNode,
    HostInterface,
    Nat,
    Node,
    TunnelEnd,
)
from chita.model.static_peer import static_port

ZONE = "topology.kubernetes.io/zone"

_PROVIDERS = {"gce": Provider.GCP}
"""Providers whose providerID has another scheme than their name."""

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


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent found out by asking others; all of it may change while it runs."""

    resolved: Mapping[str, tuple[Address, ...]] = {}
    """Addresses of the host names of endpoints that users state."""
    judgement: Judgement = UNJUDGED
    """The NAT, as gateways see us through it."""
    udp_passes: bool = True
    tcp_relay_port: int = 0


NOTHING_OBSERVED = Observed()


def is_way_out(device: str) -> bool:
    """Whether *device* may lead out of the node, by its name."""
    return not (device.startswith(OUR_DEVICES) or _INNER_DEVICES.fullmatch(device))


def fabric_node(  # noqa: PLR0913 - the sources of what a record says
    cluster: ClusterState,
    identity: Identity,
    interfaces: Iterable[HostInterface],
    interface_mtu_bytes: int,
    discovered: CloudFacts = NOTHING,
    *,
    observed: Observed = NOTHING_OBSERVED,
) -> FabricNode:
    """Return this node's record, from its Node, its cloud, its interfaces and its keys.

    Until the API knows the Node, its location is a place of its own and nobody dials it: nothing
    is merged on a guess.
    """
    node = cluster.nodes.get(identity.node)
    known = known_facts(node, discovered) if node is not None else NOTHING
    internal = node.internal_addresses if node is not None else ()
    location = node_location(node, known) if node is not None else f"site-{identity.node}"
    endpoints = known.public_addresses.value if known.public_addresses else ()
    base = cluster.setting.wireguard_port
    earlier = cluster.fabric_nodes.get(identity.node)
    mapped = _mapped(node, base, observed, earlier)
    judgement = observed.judgement if observed.judgement != UNJUDGED else published(earlier)
    is_open = bool(endpoints or mapped)
    port = listen_port(identity.node, base, is_open=is_open or node is None)
    # The first is what others in the location dial: what the Node says, if it says so.
    ways_out = tuple(
        sorted(interfaces, key=lambda i: (i.address not in internal, i.address.family, i.address))
    )
    return FabricNode(
        name=identity.node,
        location=location,
        interfaces=ways_out,
        endpoints=endpoints,
        candidates=(*mapped, *(() if is_open else _reflexive(judgement))),
        nat=_nat(endpoints, ways_out, judgement),
        udp_passes=observed.udp_passes,
        tcp_relay_port=observed.tcp_relay_port,
        wireguard_key=identity.wireguard_public_key,
        wireguard_port=port_in(identity.wireguard_epoch, port),
        wireguard_epoch=identity.wireguard_epoch,
        wireguard_preshared=identity.wireguard_preshared,
        wireguard_previous=_previous_end(identity, port),
        static_key=identity.static_public_key,
        static_port=static_port(port) if identity.static_public_key else 0,
        vtep_mac=identity.vtep_mac,
        wire_mtu_bytes=wire_mtu(known, cluster.locations.get(location), interface_mtu_bytes),
        gateway_weight=_gateway_weight(node) if is_open else 0,
    )


def _previous_end(identity: Identity, port: int) -> TunnelEnd | None:
    previous = identity.previous
    if previous is None:
        return None
    return TunnelEnd(
        epoch=previous.epoch,
        public_key=previous.public_key,
        port=port_in(previous.epoch, port),
        preshared=previous.preshared,
    )


def mapped_candidates(
    node: Node, base: int, resolved: Mapping[str, tuple[Address, ...]]
) -> tuple[Candidate, ...]:
    """Return where a user says that *node* is dialled; nothing while that means nothing.

    Args:
        node: with its annotation.
        base: the cluster's WireGuard port, for an endpoint that names none.
        resolved: addresses by host name; an address needs none.
    """
    if not node.endpoint:
        return ()
    try:
        host, port = split_endpoint(node.endpoint, base)
    except ParseError:
        return ()
    try:
        addresses: tuple[Address, ...] = (Address.parse(host),)
    except ParseError:
        addresses = resolved.get(host, ())
    return tuple([Candidate(CandidateKind.MAPPED, address, port) for address in addresses])


def _mapped(
    node: Node | None, base: int, observed: Observed, earlier: FabricNode | None
) -> tuple[Candidate, ...]:
    """Return the mapped candidates; until a name was looked up, those that an *earlier* agent told.

    So a restart makes nobody turn away from this node for a moment.
    """
    if node is None or not node.endpoint:
        return ()
    found = mapped_candidates(node, base, observed.resolved)
    if found or observed.resolved or earlier is None:
        return found
    return tuple([it for it in earlier.candidates if it.kind is CandidateKind.MAPPED])


def _reflexive(judgement: Judgement) -> tuple[Candidate, ...]:
    seen = judgement.reflexive
    if seen is None:
        return ()
    return (Candidate(CandidateKind.REFLEXIVE, seen.address, seen.port),)


def _nat(
    endpoints: tuple[Address, ...], interfaces: Iterable[HostInterface], judgement: Judgement
) -> Nat:
    said = stated(endpoints, [held.address for held in interfaces])
    return said if said is not Nat.UNKNOWN else judgement.nat


def known_facts(node: Node, discovered: CloudFacts) -> CloudFacts:
    """Return what is known of where *node* stands: what it says itself, then what was discovered.

    A Node's ExternalIP wins over the metadata's public address as a whole: who wrote one may want
    the other not to be dialled.
    """
    scheme, separator, _ = node.provider_id.partition("://")
    own = CloudFacts(
        provider=name_fact(_PROVIDERS.get(scheme, scheme) if separator else "", Source.PROVIDER_ID),
        region=name_fact(node.labels.get(REGION, ""), Source.LABEL),
        zone=name_fact(node.labels.get(ZONE, ""), Source.LABEL),
        private_addresses=_stated(node.internal_addresses),
        public_addresses=_stated(node.external_addresses),
    )
    return combined(own, discovered)


def node_location(node: Node, known: CloudFacts) -> str:
    """Return the location of *node*: what it says, else provider and region, else its own.

    Of the facts only those of the metadata service add to what the Node says: which provider made
    the machine (DMI) names no network, so that two such nodes are never taken for neighbours.
    """
    nameless = node.location == location_of(node.name, "", {}) and LOCATION not in node.labels
    if not nameless or known.provider is None or known.provider.source is Source.DMI:
        return node.location
    return known.location or node.location


def wire_mtu(known: CloudFacts, location: Location | None, interface_mtu_bytes: int) -> int:
    """Return the largest packet this node's network carries: the smallest that anyone states.

    Azure's interfaces promise 1500, but larger than 1400 is dropped without a word.
    """
    stated = [interface_mtu_bytes]
    if known.wire_mtu_bytes is not None:
        stated.append(known.wire_mtu_bytes.value)
    if location is not None and location.wire_mtu_bytes is not None:
        stated.append(location.wire_mtu_bytes)
    provider = known.provider
    if provider is not None and provider.value == Provider.AZURE:
        stated.append(AZURE_WIRE_MTU)
    return min(stated)


def _stated(addresses: tuple[Address, ...]) -> Fact[tuple[Address, ...]] | None:
    return Fact(addresses, Source.NODE) if addresses else None


def _gateway_weight(node: Node | None) -> int:
    text = node.labels.get(GATEWAY_WEIGHT_LABEL, "1") if node is not None else "0"
    return int(text) if text.isascii() and text.isdigit() else 0
