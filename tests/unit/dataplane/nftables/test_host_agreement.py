"""What `evaluate` says of a node's own traffic, the ruleset does: by all stages of host policy."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings

from chita.compute.evaluate import Evaluator
from chita.compute.flow import Flow, Verdict
from chita.compute.policy import policy_state
from chita.dataplane.nftables.ruleset import policy_ruleset
from chita.dataplane.nftables.trace import Outcome, Packet, Path, Tracer
from chita.model.cluster import ClusterState
from chita.model.endpoint import interface_name
from chita.model.net import ICMP, ICMPV6, TCP, UDP, Address
from strategies import HOST_ADDRESSES, NODES, OUTSIDE, POD_ADDRESSES, UPLINK, host_clusters
from world_file import world_file

HERE, FAR = NODES


def host_flows() -> Iterator[Flow]:
    """Yield flows between everybody that this node sees, with what stages tell apart."""
    for family, echo in ((4, (ICMP, 8)), (6, (ICMPV6, 128))):
        own, other = HOST_ADDRESSES[family]
        beyond = [other, *OUTSIDE[family]]
        for source, destination in permutations([own, *beyond, *POD_ADDRESSES[family][:6]], 2):
            ports = [(TCP, 80), (UDP, 53), (UDP, 8080)]
            kinds = [echo[1]]
            if {source, destination} <= {own, *beyond}:
                # Neighbours of a pod are another matter (`test_host`).
                ports += [(TCP, 22), (TCP, 53), (UDP, 67), (UDP, 4789), (UDP, 4790), (UDP, 51820)]
                kinds.append(135)
            yield from [
                Flow(source=source, destination=destination, protocol=protocol,
                     source_port=source_port, destination_port=port)
                for protocol, port in ports
                for source_port in (53, 40000)
            ]  # fmt: skip
            yield from [
                Flow(source=source, destination=destination, protocol=echo[0], source_port=0,
                     icmp_type=kind, icmp_code=0)
                for kind in kinds
            ]  # fmt: skip


FLOWS = list(host_flows())


class Node:
    """Who is where, seen from the node HERE of *cluster*."""

    def __init__(self, cluster: ClusterState) -> None:
        self.own = {HOST_ADDRESSES[4][0], HOST_ADDRESSES[6][0]}
        self.pods = {
            address: interface_name(*each.key.split("/"))
            for each in cluster.workloads.values()
            if each.node == HERE
            for address in each.addresses
        }

    def concerns(self, flow: Flow) -> bool:
        """Whether *flow* crosses this node, whose own packets to its pods are never asked."""
        return any(
            each in self.own or each in self.pods for each in (flow.source, flow.destination)
        )

    def interface(self, address: Address) -> str:
        """Return the interface to *address*; none, if it is the node's own."""
        return "" if address in self.own else self.pods.get(address, UPLINK)

    def trace(self, tracer: Tracer, flow: Flow) -> Outcome:
        """Return what becomes of the first packet of *flow*."""
        path = Path.FORWARD
        if flow.source in self.own:
            path = Path.OUTPUT
        elif flow.destination in self.own:
            path = Path.INPUT
        packet = Packet(
            source=flow.source,
            destination=flow.destination,
            protocol=flow.protocol,
            source_port=flow.source_port,
            destination_port=flow.destination_port,
            icmp_type=flow.icmp_type or 0,
            icmp_code=flow.icmp_code or 0,
            iif=self.interface(flow.source),
            oif=self.interface(flow.destination),
        )
        return tracer.trace(packet, path).outcome


@pytest.mark.slow
@settings(
    # Shrinking a cluster takes minutes; the example says enough.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(cluster=host_clusters())
def test_evaluate_and_the_ruleset_agree_on_what_crosses_the_host(cluster: ClusterState) -> None:
    node, evaluator = Node(cluster), Evaluator(cluster)
    tracer = Tracer(policy_ruleset(policy_state(cluster, HERE)))
    for flow in FLOWS:
        if not node.concerns(flow):
            continue
        verdict = evaluator.evaluate(flow)
        here = [
            own.action is Verdict.ALLOW
            for address, own in ((flow.source, verdict.egress), (flow.destination, verdict.ingress))
            if address in node.own or address in node.pods
        ]
        expected = Outcome.ACCEPT if all(here) else Outcome.DROP
        if node.trace(tracer, flow) is not expected:
            note(f"ask `chita explain -f` about it:\n{world_file(cluster)}")
        assert expected is node.trace(tracer, flow), (flow, verdict)
