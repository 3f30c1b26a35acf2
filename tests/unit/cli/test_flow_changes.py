"""Flows that a change turns round: the same as asking about every flow in both worlds."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chita.cli.flow_changes import flow_changes
from chita.cli.flows import Inquiry, matrix
from chita.convert.world import World
from chita.model.cluster import Change, ClusterState, fold
from chita.model.net import TCP, UDP
from strategies import changes, clusters


def inquiry(cluster: ClusterState) -> Inquiry:
    ports: tuple[tuple[int, int], ...] = ((TCP, 80), (UDP, 53))
    listeners: dict[str, tuple[tuple[int, int], ...]] = dict.fromkeys(cluster.workloads, ports)
    return Inquiry(World(cluster=cluster, listeners=listeners))


@pytest.mark.slow
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(before=clusters(), made=st.lists(changes(), min_size=1, max_size=3))
def test_no_flow_is_overlooked(before: ClusterState, made: list[Change]) -> None:
    """What is not asked about cannot have changed."""
    was, is_ = inquiry(before), inquiry(fold(before, made))
    had = {key: {a.family for a in each.addresses} for key, each in was.cluster.workloads.items()}
    expected = set()
    for question in matrix(is_):
        if all(question.family in had.get(end, ()) for end in (question.from_, question.to)):
            old, new = was.ask(question).verdict, is_.ask(question).verdict
            if old is not new:
                its = question.from_, question.to, question.port, question.protocol
                expected.add((new, *its, question.family))

    assert expected == {
        (new, each.from_, each.to, each.port, each.protocol, each.family)
        for new, each in flow_changes(was, is_)
    }
