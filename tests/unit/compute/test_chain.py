"""Chain: the short way to a decision ends where the walk through every step ends."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import HealthCheck, given, settings

from chita.compute.evaluate import Evaluator
from chita.compute.flow import Flow
from chita.compute.subject import Reading
from chita.model.cluster import ClusterState
from chita.model.policy import Direction
from strategies import clusters, flows


@pytest.mark.slow
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(cluster=clusters(), flow=flows())
def test_decision_is_the_last_step_of_the_walk(cluster: ClusterState, flow: Flow) -> None:
    """What explains a verdict cannot disagree with it."""
    evaluator = Evaluator(cluster)
    packet = evaluator.packet(flow)
    for endpoint in cluster.workloads:
        for direction in Direction:
            for reading in Reading:
                subject = evaluator.subject(endpoint, direction, reading)
                (last,) = deque(evaluator.chain.walk(subject, packet), maxlen=1)

                assert last == evaluator.chain.decide(subject, packet)
