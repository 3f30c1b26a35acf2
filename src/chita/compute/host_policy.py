"""What host endpoints decide on traffic of and through a node (v3 2.10, 2.3).

::

    from outside ─▶ untracked ─▶ pre-DNAT ─┬▶ failsafe, tiers, profiles    to the host itself
                                           └▶ tiers of applyOnForward      to a workload
    the host's own ─▶ failsafe, untracked, tiers, profiles ─▶ outside
    a workload's ─▶ tiers of applyOnForward ─▶ outside

The kernel has no hooks for it yet: verdicts here say what would be, and say so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from chita.compute.chain import Chain, verdict_of
from chita.compute.flow import ByFailsafe, ByForwarding, Decision, HostVerdict
from chita.compute.matching import Packet
from chita.compute.subject import Stage, Subjects
from chita.model.cluster import ClusterState
from chita.model.endpoint import HostEndpoint
from chita.model.net import TCP, UDP, Address
from chita.model.policy import Direction

ALL_INTERFACES = "*"

_EVERYWHERE = [(TCP, port) for port in (179, 2379, 2380, 5473, 6443, 6666, 6667)]
FAILSAFES = {
    Direction.INGRESS: frozenset({(TCP, 22), (UDP, 68), *_EVERYWHERE}),
    Direction.EGRESS: frozenset({(UDP, 53), (UDP, 67), *_EVERYWHERE}),
}
"""Protocol and destination port of what no policy of a host closes (v3 2.10, *Failsafes*)."""


class HostPolicy:
    """Verdicts of the host endpoints of one cluster."""

    def __init__(self, cluster: ClusterState, subjects: Subjects, chain: Chain) -> None:
        self._cluster = cluster
        self._subjects = subjects
        self._chain = chain
        self._of_node: dict[str, list[HostEndpoint]] = {}
        for endpoint in cluster.host_endpoints.values():
            self._of_node.setdefault(endpoint.node, []).append(endpoint)

    def has_endpoints(self, node: str) -> bool:
        """Whether *node* has any host endpoint."""
        return node in self._of_node

    def local(
        self, direction: Direction, node: str, address: Address, packet: Packet
    ) -> HostVerdict | None:
        """Return the verdict on traffic of *node* itself, which has *address* for it.

        None: no host endpoint governs the interface.
        """
        endpoint = self._governing(node, *self._interface(node, address))
        if endpoint is None:
            return None
        port = packet.protocol, packet.destination.port
        if port in FAILSAFES[direction]:
            return _verdict(endpoint, Stage.LOCAL, ByFailsafe(*port))
        early = self._early(endpoint, direction, packet)
        if early is not None:
            return early
        subject = self._subjects.of(endpoint, direction, Stage.LOCAL)
        return _verdict(endpoint, Stage.LOCAL, self._chain.decide(subject, packet))

    def forwarded(
        self, direction: Direction, node: str, family: int, packet: Packet
    ) -> HostVerdict | None:
        """Return the verdict on traffic between a workload of *node* and another machine.

        It is taken to use the interface of the node's own address of *family*. None: no host
        endpoint governs that.
        """
        known = self._cluster.nodes.get(node)
        addresses = () if known is None else known.internal_addresses
        own = next((each for each in addresses if each.family == family), None)
        interface = ("", []) if own is None else self._interface(node, own)
        endpoint = self._governing(node, *interface)
        if endpoint is None:
            return None
        if direction is Direction.INGRESS:
            early = self._early(endpoint, direction, packet)
            if early is not None:
                return early
        subject = self._subjects.of(endpoint, direction, Stage.FORWARD)
        decided = self._chain.decide_in_tiers(subject, packet)
        return _verdict(endpoint, Stage.FORWARD, decided or ByForwarding())

    def _early(
        self, endpoint: HostEndpoint, direction: Direction, packet: Packet
    ) -> HostVerdict | None:
        """Return what untracked and pre-DNAT policies decide; None: they have no end of tier."""
        stages = [Stage.UNTRACKED]
        if direction is Direction.INGRESS:
            stages.append(Stage.PRE_DNAT)
        for stage in stages:
            subject = self._subjects.of(endpoint, direction, stage)
            decided = self._chain.decide_in_tiers(subject, packet)
            if decided is not None:
                return _verdict(endpoint, stage, decided)
        return None

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


def governing(
    endpoints: Iterable[HostEndpoint], device: str, addresses: Collection[Address]
) -> HostEndpoint | None:
    """Return which of a node's *endpoints* governs the interface *device*; None: none does.

    One that names an interface never matches by address, and one for all interfaces only comes
    where no other matches; of several the first by name (v3 2.10).
    """
    named: list[HostEndpoint] = []
    wildcard: list[HostEndpoint] = []
    for endpoint in endpoints:
        if endpoint.interface == ALL_INTERFACES:
            wildcard.append(endpoint)
        elif endpoint.interface:
            if endpoint.interface == device:
                named.append(endpoint)
        elif not set(endpoint.expected_addresses).isdisjoint(addresses):
            named.append(endpoint)
    return min(named or wildcard, key=lambda endpoint: endpoint.name, default=None)


def _verdict(endpoint: HostEndpoint, stage: Stage, decision: Decision) -> HostVerdict:
    return HostVerdict(
        endpoint=endpoint.name,
        stage=stage.value,
        action=verdict_of(decision),
        decided_by=decision,
    )
