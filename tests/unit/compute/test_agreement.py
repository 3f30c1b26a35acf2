"""The two derivations from one cluster agree: `evaluate`, and PolicyState interpreted."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings

from chita.compute.evaluate import Evaluator
from chita.compute.flow import (
    ByEndpointToHost,
    ByHostExemption,
    ByItself,
    Flow,
    NotApplicable,
    Verdict,
    WorkloadParty,
)
from chita.compute.policy import policy_state
from chita.model.cluster import ClusterState
from chita.model.net import ICMP, ICMPV6, TCP, UDP
from chita.model.policy import Direction
from interpret import allows
from strategies import HOST_ADDRESSES, NODES, OUTSIDE, POD_ADDRESSES, PODS, clusters

EXEMPT = ByItself | ByHostExemption | NotApplicable | ByEndpointToHost
"""Not the policy of an endpoint: tables in test_evaluate have these."""


def matrix() -> Iterator[Flow]:
    """Yield flows from everybody to everybody, with what rules in strategies tell apart."""
    for family, echo in ((4, ICMP), (6, ICMPV6)):
        pods = POD_ADDRESSES[family][: len(PODS)]
        everybody = [*pods, HOST_ADDRESSES[family][1], *OUTSIDE[family]]
        for source, destination in product(everybody, repeat=2):
            for protocol, port in ((TCP, 53), (TCP, 80), (TCP, 8080), (UDP, 53), (UDP, 7)):
                yield Flow(
                    source=source,
                    destination=destination,
                    protocol=protocol,
                    source_port=80 if port == 7 else 40000,
                    destination_port=port,
                )
            for kind in (8, 128):
                yield Flow(
                    source=source, destination=destination, protocol=echo, icmp_type=kind,
                    icmp_code=0, source_port=0,
                )  # fmt: skip


MATRIX = list(matrix())


@pytest.mark.slow
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(cluster=clusters())
def test_evaluate_agrees_with_interpreted_policy_state(cluster: ClusterState) -> None:
    """Selectors, ports and tiers mean the same by rule and by set (overview, principle 2)."""
    states = {node: policy_state(cluster, node) for node in NODES}
    evaluator = Evaluator(cluster)
    for flow in MATRIX:
        verdict = evaluator.evaluate(flow)
        for party, own, direction in (
            (verdict.source, verdict.egress, Direction.EGRESS),
            (verdict.destination, verdict.ingress, Direction.INGRESS),
        ):
            by_host = own.host is not None and own.decided_by is own.host.decided_by
            if by_host or isinstance(own.decided_by, EXEMPT):
                continue  # hosts: dataplane/nftables/test_host_agreement.py
            assert isinstance(party, WorkloadParty)
            interface = cluster.workloads[party.endpoint].interface

            expected = allows(states[party.node], interface, direction, flow)
            assert expected is (own.action is Verdict.ALLOW), (party, direction, flow, own)
