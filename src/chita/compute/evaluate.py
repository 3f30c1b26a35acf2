"""The reference semantics: the verdict on a flow, and what decided it.

Read straight from the model, rule by rule and in the order of v3 2.7, without the classes, sets
and tiers that the kernel is given: where the two derivations disagree, one of them has a mistake,
and a property test looks for that.
"""

from __future__ import annotations

from chita.compute.address_book import AddressBook
from chita.compute.chain import Chain, verdict_of
from chita.compute.flow import (
    ByEndpointToHost,
    ByGuard,
    ByHostExemption,
    ByItself,
    ByTunnel,
    DirectionVerdict,
    ExternalParty,
    Flow,
    FlowVerdict,
    HostParty,
    NotApplicable,
    Party,
    PendingVerdict,
    Verdict,
    WorkloadParty,
)
from chita.compute.guards import Guards
from chita.compute.host_policy import Ends, HostPolicy
from chita.compute.matching import End, Packet
from chita.compute.subject import Reading, Stage, Subject, Subjects
from chita.model.cluster import ClusterState
from chita.model.endpoint import WorkloadEndpoint
from chita.model.net import IPIP, UDP, Address
from chita.model.policy import Direction


def evaluate(cluster: ClusterState, flow: Flow) -> FlowVerdict:
    """Return the verdict on one flow; for many flows make one `Evaluator`."""
    return Evaluator(cluster).evaluate(flow)


class Evaluator:
    """Verdicts on any number of flows in one cluster.

    What repeats is remembered: who has an address, what applies to an endpoint, and the verdict
    between addresses that no rule can tell apart.
    """

    def __init__(self, cluster: ClusterState) -> None:
        self.cluster = cluster
        self._book = AddressBook(cluster)
        self._workloads: dict[Address, WorkloadEndpoint] = {}
        self._hosts: dict[Address, list[str]] = {}
        self._outside: dict[Address, str] = {}
        self._subjects = Subjects(cluster, self._book)
        self.chain = Chain(cluster)
        self._host_policy = HostPolicy(cluster, self._subjects, self.chain)
        self._guards = Guards(cluster)
        self._egress: dict[str, Subject] = {}
        self._ingress: dict[str, Subject] = {}
        self._verdicts: dict[object, DirectionVerdict] = {}
        for workload in sorted(cluster.workloads.values(), key=lambda each: each.key):
            for address in workload.addresses:
                self._workloads.setdefault(address, workload)
        for name in sorted(cluster.nodes.keys() | cluster.fabric_nodes.keys()):
            for address in node_addresses(cluster, name):
                self._hosts.setdefault(address, []).append(name)
        for name in sorted(cluster.nodes):
            for address in cluster.nodes[name].external_addresses:
                self._outside.setdefault(address, name)

    def evaluate(self, flow: Flow) -> FlowVerdict:
        """Return the verdict on *flow*."""
        source, destination = self.parties(flow)
        packet = self.packet(flow)
        return FlowVerdict(
            source=source,
            destination=destination,
            egress=self._direction(Direction.EGRESS, flow, packet, source, destination),
            ingress=self._direction(Direction.INGRESS, flow, packet, destination, source),
        )

    def parties(self, flow: Flow) -> tuple[Party, Party]:
        """Return who sends and who receives *flow*.

        An address that several nodes have is the one of the other end's node: there it is local.
        """
        near_source = self._node_of(flow.destination, flow.destination_node)
        near_destination = self._node_of(flow.source, flow.source_node)
        return (
            self._party(flow.source, flow.source_node, near_source),
            self._party(flow.destination, flow.destination_node, near_destination),
        )

    def _node_of(self, address: Address, node: str | None) -> str | None:
        workload = self._workloads.get(address)
        return node if workload is None else workload.node

    def _party(self, address: Address, node: str | None, near: str | None) -> Party:
        workload = self._workloads.get(address)
        if node is None and workload is not None:
            return WorkloadParty(workload.key, workload.node)
        if node is not None:
            return HostParty(node)
        hosts = self._hosts.get(address)
        if hosts:
            return HostParty(near if near in hosts and near is not None else hosts[0])
        # An address that a provider translates to the node (hybrid clouds): it never is local.
        outside = self._outside.get(address)
        return ExternalParty(address) if outside is None else HostParty(outside)

    def _direction(
        self, direction: Direction, flow: Flow, packet: Packet, own: Party, other: Party
    ) -> DirectionVerdict:
        """Return the verdict of *own* on traffic with *other*."""
        if own == other:
            # Between a node's own processes, or a workload's: the packet leaves neither.
            decision = ByItself() if isinstance(own, WorkloadParty) else NotApplicable(own)
            return DirectionVerdict(Verdict.ALLOW, decision)
        match own:
            case WorkloadParty():
                return self._workload_verdict(direction, flow, packet, own, other)
            case HostParty(node):
                return self._host_verdict(direction, flow, packet, node, other)
            case ExternalParty():
                return DirectionVerdict(Verdict.ALLOW, NotApplicable(own))

    def _workload_verdict(
        self,
        direction: Direction,
        flow: Flow,
        packet: Packet,
        own: WorkloadParty,
        other: Party,
    ) -> DirectionVerdict:
        if self._is_own_node(direction, flow, own, other):
            return DirectionVerdict(Verdict.ALLOW, ByHostExemption(own.node))
        if direction is Direction.EGRESS and self._is_tunnel(flow):
            return DirectionVerdict(Verdict.DENY, ByTunnel(flow.protocol))
        verdict = self._policed(own.endpoint, direction, packet)
        if not self._host_policy.has_endpoints(own.node):
            return verdict
        if not isinstance(other, ExternalParty) and other.node == own.node:
            return verdict
        peer = other.node if isinstance(other, WorkloadParty) else None
        ends = _ends(direction, flow)
        host = self._host_policy.forwarded(direction, own.node, peer, ends, packet)
        allowed = verdict.action is Verdict.ALLOW
        if host is not None and allowed and host.action is Verdict.DENY:
            return DirectionVerdict(host.action, host.decided_by, verdict.pending, host)
        return DirectionVerdict(verdict.action, verdict.decided_by, verdict.pending, host)

    def _host_verdict(
        self, direction: Direction, flow: Flow, packet: Packet, node: str, other: Party
    ) -> DirectionVerdict:
        if direction is Direction.INGRESS and self._guards.drop(node, flow):
            return DirectionVerdict(Verdict.DENY, ByGuard(flow.destination_port))
        if isinstance(other, WorkloadParty) and other.node == node:
            # Such a packet crosses no interface that a host endpoint governs (v3 2.10).
            if direction is Direction.EGRESS:
                return DirectionVerdict(Verdict.ALLOW, NotApplicable(HostParty(node)))
            decision = ByEndpointToHost(self.cluster.setting.endpoint_to_host)
            return DirectionVerdict(verdict_of(decision), decision)
        host = None
        if self._host_policy.has_endpoints(node):
            peer = other.node if isinstance(other, WorkloadParty) else None
            ends = _ends(direction, flow)
            host = self._host_policy.local(direction, node, peer, ends, packet)
        if host is not None:
            return DirectionVerdict(host.action, host.decided_by, None, host)
        return DirectionVerdict(Verdict.ALLOW, NotApplicable(HostParty(node)))

    def _is_tunnel(self, flow: Flow) -> bool:
        """Whether *flow* is an encapsulation of ours, or IPIP."""
        port = self.cluster.setting.vxlan_port
        return flow.protocol == IPIP or (flow.protocol == UDP and flow.destination_port == port)

    def _is_own_node(
        self, direction: Direction, flow: Flow, own: WorkloadParty, other: Party
    ) -> bool:
        """Whether *flow* comes to the workload *own* from its node itself."""
        return (
            direction is Direction.INGRESS
            and other == HostParty(own.node)
            and (flow.source_node is not None or flow.source not in self._outside)
        )

    def _policed(self, endpoint: str, direction: Direction, packet: Packet) -> DirectionVerdict:
        subject = self._enforced(endpoint, direction)
        its = id(subject), packet_key(packet)
        found = self._verdicts.get(its)
        if found is None:
            decision = self.chain.decide(subject, packet)
            pending = None
            if subject.has_staged:
                staged = self.subject(endpoint, direction, Reading.PENDING)
                would = self.chain.decide(staged, packet)
                pending = PendingVerdict(verdict_of(would), would)
            found = DirectionVerdict(verdict_of(decision), decision, pending)
            self._verdicts[its] = found
        return found

    def packet(self, flow: Flow) -> Packet:
        """Return what rules read of *flow*'s first packet."""
        return Packet(
            End(self._book.known(flow.source), flow.source_port),
            End(self._book.known(flow.destination), flow.destination_port),
            flow.protocol,
            flow.icmp_type,
            flow.icmp_code,
        )

    def subject(
        self, endpoint: str, direction: Direction, reading: Reading = Reading.ENFORCED
    ) -> Subject:
        """Return what decides for the workload *endpoint* in *direction*.

        Raises:
            KeyError: there is no such workload.
        """
        workload = self.cluster.workloads[endpoint]
        return self._subjects.of(workload, direction, Stage.WORKLOAD, reading)

    def _enforced(self, endpoint: str, direction: Direction) -> Subject:
        """As `subject`, remembered by the endpoint's key alone: asked for with each flow."""
        found = self._egress if direction is Direction.EGRESS else self._ingress
        if endpoint not in found:
            found[endpoint] = self.subject(endpoint, direction)
        return found[endpoint]


def _ends(direction: Direction, flow: Flow) -> Ends:
    if direction is Direction.INGRESS:
        return Ends(flow.destination, flow.source)
    return Ends(flow.source, flow.destination)


def node_addresses(cluster: ClusterState, node: str) -> list[Address]:
    """Return the addresses that are local to *node*: internal, mesh, and its interfaces'."""
    addresses: list[Address] = []
    known = cluster.nodes.get(node)
    if known is not None:
        addresses += (*known.internal_addresses, *known.mesh_addresses)
    fabric = cluster.fabric_nodes.get(node)
    if fabric is not None:
        addresses += [each.address for each in fabric.interfaces]
    return list(dict.fromkeys(addresses))


def packet_key(packet: Packet) -> tuple[int | None, ...]:
    """Return what tells *packet* from those that every rule treats alike."""
    return (
        id(packet.source.known),
        id(packet.destination.known),
        packet.protocol,
        packet.source.port,
        packet.destination.port,
        packet.icmp_type,
        packet.icmp_code,
    )
