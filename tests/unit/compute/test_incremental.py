"""IncrementalPolicy: equal to from-scratch after any changes, and sharing what they do not touch."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from build import (
    cluster,
    endpoint_slice,
    namespace,
    network_set,
    node,
    policy,
    pool,
    rule,
    side,
    tier,
    workload,
)
from chita.compute.incremental import IncrementalPolicy
from chita.compute.policy import policy_state
from chita.model.cluster import COLLECTIONS, Change, ClusterState, Put, Remove, fold
from chita.model.endpoint import WorkloadEndpoint
from chita.model.net import TCP
from chita.model.policy import Policy
from strategies import NODES, changes, clusters


def puts(state: ClusterState) -> list[Change]:
    """Return *state* as a list of changes from nothing."""
    return [Put(each) for name in COLLECTIONS.values() for each in getattr(state, name).values()]


@pytest.mark.slow
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(start=clusters(), batches=st.lists(st.lists(changes(), max_size=4), max_size=12))
def test_any_changes_give_what_from_scratch_gives(
    start: ClusterState, batches: list[list[Change]]
) -> None:
    """Whatever happened before, the output depends on the current state only (A1)."""
    kept = IncrementalPolicy(NODES[0])
    state, now = kept.apply(puts(start)), start
    assert policy_state(now, NODES[0]) == state
    for batch in batches:
        before, state, now = state, kept.apply(batch), fold(now, batch)
        expected = policy_state(now, NODES[0])

        assert expected == state
        assert (expected == before) is (state is before)
