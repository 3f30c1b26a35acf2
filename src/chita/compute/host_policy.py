"""What host endpoints decide on traffic of and through a node (v3 2.10, 2.3).

::

    from outside ─▶ untracked ─▶ pre-DNAT ─┬▶ failsafe, tiers, profiles    to the host itself
                                           └▶ tiers of applyOnForward      to a workload
    the host's own ─▶ untracked ─▶ failsafe, tiers, profiles ─▶ outside
    a workload's ─▶ tiers of applyOnForward ─▶ outside

What an earlier stage allows is not asked again at that interface; what is open whatever policy says
(failsafe ports, tunnels, echo among nodes) is asked at none of its own stages.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from chita.compute.chain import Chain, verdict_of
from chita.compute.flow import ByFailsafe, ByForwarding, Decision, HostVerdict
from chita.compute.host_endpoints import fabric_networks, governing, open_ports, tunnel_ports
from chita.compute.matching import Packet
from chita.compute.subject import Stage, Subjects
from chita.compute.tunnels import TRANSIT_PORT
from chita.model.cluster import ClusterState
from chita.model.encapsulation import location_encap
from chita.model.endpoint import HostEndpoint
from chita.model.ippool import Encap
from chita.model.net import ICMP, ICMPV6, UDP, Address
from chita.model.policy import Direction
from chita.model.settings import Encryption, FailsafePort

_ECHO = {(ICMP, 0), (ICMP, 8), (ICMPV6, 128), (ICMPV6, 129)}
_NEIGHBOURS = {(ICMPV6, type_) for type_ in (130, 131, 132, 133, 134, 135, 136, 143)}
_OTHER = {Direction.INGRESS: Direction.EGRESS, Direction.EGRESS: Direction.INGRESS}


class Ends(msgspec.Struct, frozen=True):
    """The addresses of a flow at a node: its own, or its workload's, and the other end's."""

    own: Address
    other: Address


class HostPolicy:
    """Verdicts of the host endpoints of one cluster."""

    def __init__(self, cluster: ClusterState, subjects: Subjects, chain: Chain) -> None:
        self._cluster = cluster
        self._subjects = subjects
        self._chain = chain
        self._nodes = fabric_networks(cluster) if cluster.host_endpoints else ()
        self._open: dict[tuple[str, Direction], tuple[FailsafePort, ...]] = {}
        self._of_node: dict[str, list[HostEndpoint]] = {}
        for endpoint in cluster.host_endpoints.values():
            self._of_node.setdefault(endpoint.node, []).append(endpoint)

    def has_endpoints(self, node: str) -> bool:
        """Whether *node* has any host endpoint."""
        return node in self._of_node

    def local(
        self, direction: Direction, node: str, peer: str | None, ends: Ends, packet: Packet
    ) -> HostVerdict | None:
        """Return the verdict on traffic of *node* itself.

        With a workload of *peer* it may be in a tunnel, as in `forwarded`; all else is taken to use
        the interface that has the node's address. None: no host endpoint governs the interface.
        """
        interface: tuple[str, Collection[Address]] = ("", ())
        if peer is None or not self._is_tunnelled(node, peer):
            interface = self._interface(node, ends.own)
        endpoint = self._governing(node, *interface)
        if endpoint is None:
            return None
        early = self._early(endpoint, direction, ends.other, packet)
        if early is not None:
            return early
        if self._is_open(node, direction, ends.other, packet):
            port = packet.destination.port
            return _verdict(endpoint, Stage.LOCAL, ByFailsafe(packet.protocol, port))
        subject = self._subjects.of(endpoint, direction, Stage.LOCAL)
        return _verdict(endpoint, Stage.LOCAL, self._chain.decide(subject, packet))

    def forwarded(
        self, direction: Direction, node: str, peer: str | None, ends: Ends, packet: Packet
    ) -> HostVerdict | None:
        """Return the verdict on traffic between a workload of *node* and another machine.

        Where that is a workload of *peer* a tunnel may carry it, which only a host endpoint for all
        interfaces governs; all else is taken to use the interface of the node's own address of the
        family. None: no host endpoint governs the interface.
        """
        interface: tuple[str, Collection[Address]] = ("", ())
        if peer is None or not self._is_tunnelled(node, peer):
            known = self._cluster.nodes.get(node)
            addresses = () if known is None else known.internal_addresses
            own = next((each for each in addresses if each.family == ends.other.family), None)
            interface = interface if own is None else self._interface(node, own)
        endpoint = self._governing(node, *interface)
        if endpoint is None:
            return None
        if direction is Direction.INGRESS:
            early = self._early(endpoint, direction, ends.other, packet)
            if early is not None:
                return early
        decision: Decision = ByForwarding()
        if not self._is_echo(ends.other, packet):
            subject = self._subjects.of(endpoint, direction, Stage.FORWARD)
            decision = self._chain.decide_in_tiers(subject, packet) or decision
        return _verdict(endpoint, Stage.FORWARD, decision)

    def _early(
        self, endpoint: HostEndpoint, direction: Direction, other: Address, packet: Packet
    ) -> HostVerdict | None:
        """Return what untracked and pre-DNAT policies decide; None: they have no end of tier."""
        if self._is_open(endpoint.node, direction, other, packet):
            return None
        stages: list[Stage] = []
        if not self._is_reply(endpoint.node, direction, other, packet):
            stages.append(Stage.UNTRACKED)
        if direction is Direction.INGRESS:
            stages.append(Stage.PRE_DNAT)
        for stage in stages:
            subject = self._subjects.of(endpoint, direction, stage)
            decided = self._chain.decide_in_tiers(subject, packet)
            if decided is not None:
                return _verdict(endpoint, stage, decided)
        return None

    def _is_open(self, node: str, direction: Direction, other: Address, packet: Packet) -> bool:
        """Whether no policy of *node* closes *packet*: *other* is its far end's address."""
        port = packet.destination.port
        if _has(self._open_ports(node, direction), packet.protocol, port, other):
            return True
        if (packet.protocol, packet.icmp_type) in _NEIGHBOURS or self._is_echo(other, packet):
            return True
        own_end = packet.destination if direction is Direction.INGRESS else packet.source
        if packet.protocol != UDP:
            return False
        if own_end.port in tunnel_ports(self._cluster, node):
            return True
        return port in {self._cluster.setting.vxlan_port, TRANSIT_PORT} and self._is_of_node(other)

    def _is_reply(self, node: str, direction: Direction, other: Address, packet: Packet) -> bool:
        """Whether *packet* may be a reply to one that a failsafe of the other direction let go.

        Untracked policies must not see it: half of the flow would go untracked.
        """
        ports = self._open_ports(node, _OTHER[direction])
        return _has(ports, packet.protocol, packet.source.port, other)

    def _is_echo(self, other: Address, packet: Packet) -> bool:
        return (packet.protocol, packet.icmp_type) in _ECHO and self._is_of_node(other)

    def _is_of_node(self, address: Address) -> bool:
        return any(address in net for net in self._nodes)

    def _open_ports(self, node: str, direction: Direction) -> tuple[FailsafePort, ...]:
        key = node, direction
        if key not in self._open:
            self._open[key] = open_ports(self._cluster, node, direction)
        return self._open[key]

    def _is_tunnelled(self, node: str, peer: str) -> bool:
        """Whether workloads of *node* and *peer* reach each other through a tunnel of theirs."""
        here, there = self._cluster.nodes.get(node), self._cluster.nodes.get(peer)
        if here is None or there is None or here.location != there.location:
            return True
        if self._cluster.setting.encryption is Encryption.ALL:
            return True
        match location_encap(self._cluster, here.location):
            case Encap.ALWAYS:
                return True
            case Encap.CROSS_SUBNET:
                return not self._share_subnet(node, peer)
            case Encap.NEVER:
                return False

    def _share_subnet(self, node: str, peer: str) -> bool:
        ours, theirs = (self._cluster.fabric_nodes.get(name) for name in (node, peer))
        if ours is None or theirs is None:
            return False
        return any(
            there.address in here.subnet for here in ours.interfaces for there in theirs.interfaces
        )

    def _interface(self, node: str, address: Address) -> tuple[str, Collection[Address]]:
        """Return the name of the interface of *node* that has *address*, and all it has.

        The name is empty where the node has not told it.
        """
        record = self._cluster.fabric_nodes.get(node)
        interfaces = () if record is None else record.interfaces
        for each in interfaces:
            if each.address == address and each.device:
                return each.device, [i.address for i in interfaces if i.device == each.device]
        return "", [address]

    def _governing(
        self, node: str, device: str, addresses: Collection[Address]
    ) -> HostEndpoint | None:
        return governing(self._of_node.get(node, ()), device, addresses)


def _has(ports: Iterable[FailsafePort], protocol: int, port: int, other: Address) -> bool:
    """Whether *port* is one of *ports*, for the far end *other*."""
    return any(
        each.protocol == protocol and each.port == port and (each.net is None or other in each.net)
        for each in ports
    )


def _verdict(endpoint: HostEndpoint, stage: Stage, decision: Decision) -> HostVerdict:
    return HostVerdict(
        endpoint=endpoint.name,
        stage=stage.value,
        action=verdict_of(decision),
        decided_by=decision,
    )
