"""IncrementalPolicy: equal to from-scratch after any changes, sharing what they leave alone."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from build import (
    PASS,
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
from chita.model.endpoint import Profile, WorkloadEndpoint
from chita.model.net import TCP
from chita.model.policy import Policy, Tier
from chita.model.service import EndpointSlice
from chita.model.settings import FlowLogGroups, Period, Rate, Settings
from hybrid import fabric_node
from states.changes import steps
from strategies import NODES, changes, clusters


def puts(state: ClusterState) -> list[Put]:
    """Return *state* as a list of changes from nothing."""
    return [Put(each) for name in COLLECTIONS.values() for each in getattr(state, name).values()]


@pytest.mark.slow
@settings(
    max_examples=50,
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


WORLD = cluster(
    namespace("a", team="blue"),
    namespace("b", team="red"),
    workload("a/web", "10.244.0.1", labels={"app": "web"}),
    workload("a/db", "10.244.0.2", labels={"app": "db"}),
    workload("b/job", "10.244.0.3", labels={"app": "job"}, node="node-2"),
    network_set("/out", "203.0.113.0/24", kind="outside"),
    policy("a/web", "app == 'web'", ingress=[rule(source=side("app == 'job'"))]),
    policy(
        "a/db",
        "app == 'db'",
        ingress=[rule(source=side("app == 'web'"), protocol=TCP, destination=side(ports="5432"))],
        egress=[rule(destination=side(service="b/job")), rule(source=side("kind == 'outside'"))],
    ),
    endpoint_slice("b/job", "job-1", ("10.244.0.3", 80)),
    node("node-1", "10.0.0.1"),
    fabric_node("node-1", "here", "10.0.0.1"),
    fabric_node("node-3", "here", "10.0.0.3"),
    pool("pods", "10.244.0.0/16"),
)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", [1, 3, 100], ids=["one-by-one", "split", "squashed"])
def test_order_of_events_is_irrelevant(seed: int, size: int) -> None:
    """Reversed, shuffled, split or squashed: the same entities give the same state (A1)."""
    events = puts(WORLD)
    random.Random(seed).shuffle(events)
    kept = IncrementalPolicy("node-1")
    for start in range(0, len(events), size):
        kept.apply(events[start : start + size])

    assert kept.state == policy_state(WORLD, "node-1")


def started() -> IncrementalPolicy:
    kept = IncrementalPolicy("node-1")
    kept.apply(puts(WORLD))
    return kept


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(Put(namespace("a", team="red")), id="namespace-labels"),
        pytest.param(Remove(Profile, "kns.a"), id="namespace-gone"),
        pytest.param(Put(endpoint_slice("b/job", "job-1", ("10.244.0.3", 81))), id="service"),
        pytest.param(Put(endpoint_slice("b/new", "job-1", ("10.244.0.3", 80))), id="slice-moves"),
        pytest.param(Remove(EndpointSlice, "b/job-1"), id="service-gone"),
        pytest.param(Put(tier("default", 1, PASS)), id="tier-passes"),
        pytest.param(Remove(Tier, "default"), id="built-in-tier-is-back"),
        pytest.param(Put(workload("a/web", "10.244.0.1", node="node-2")), id="pod-moves"),
        pytest.param(Put(node("node-2", "10.0.0.2")), id="node"),
        pytest.param(Put(fabric_node("node-2", "here", "10.0.0.2")), id="neighbour"),
        pytest.param(Put(Settings(vxlan_port=8472)), id="vxlan-port"),
        pytest.param(Put(Settings(log_prefix="dropped")), id="settings"),
        pytest.param(Put(Settings(log_rate=Rate(1, Period.DAY), log_burst=9)), id="log-limit"),
        pytest.param(Put(Settings(flow_log_groups=FlowLogGroups())), id="flow-logs"),
        pytest.param(
            Put(policy("/all", "has(app) && pcns.team == 'blue'", egress=[])), id="by-namespace"
        ),
    ],
)
@pytest.mark.parametrize("team", ["blue", "red"])
def test_each_kind_of_change(change: Change, team: str) -> None:
    """There and back again, each time equal to from scratch."""
    by_team = side(f"pcns.team == '{team}'")
    kept = started()
    kept.apply(
        [
            Put(policy("a/t", "pcns.team == 'blue'", ingress=[rule(source=by_team)])),
            Put(policy("/late", "pcns.team != 'blue'", ingress=[], tier="late")),
        ]
    )
    before, start = kept.cluster, kept.state
    assert kept.apply([change]) == policy_state(kept.cluster, "node-1")
    back = steps(kept.cluster, before)
    assert kept.apply(back) == start


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(Put(WORLD.workloads["a/web"]), id="the-same-again"),
        pytest.param(
            Put(workload("a/web", "10.244.0.1", labels={"app": "web", "hash": "7"})),
            id="label-nobody-mentions",
        ),
        pytest.param(Put(workload("b/new", "10.244.0.9", node="node-2")), id="pod-in-no-set"),
        pytest.param(Put(namespace("b", team="green")), id="namespace-label-nobody-mentions"),
        pytest.param(Put(policy("b/x", "", ingress=[])), id="policy-of-another-node"),
        pytest.param(Put(tier("empty", 3)), id="tier-without-policies"),
        pytest.param(Remove(WorkloadEndpoint, "a/gone"), id="removing-nothing"),
        pytest.param(Put(endpoint_slice("b/other", "o-1", ("10.244.0.3", 1))), id="other-service"),
    ],
)
def test_what_changes_nothing_gives_the_same_object(change: Change) -> None:
    """So that an applier has nothing to compare."""
    kept = started()
    before = kept.state

    assert kept.apply([change]) is before


def test_untouched_parts_are_the_same_objects() -> None:
    """A pod that joins one set leaves all other sets, policies and endpoints what they are."""
    kept = started()
    before = kept.state
    after = kept.apply([Put(workload("b/2", "10.244.0.8", labels={"app": "job"}, node="node-2"))])

    changed = {n for n, s in after.address_sets.items() if s is not before.address_sets[n]}
    assert len(changed) == 1
    assert after.endpoints is before.endpoints
    assert after.policies is before.policies
    assert after.port_sets is before.port_sets


def test_changed_policy_leaves_the_others() -> None:
    """Only its own rules are other objects, and only the sets that nobody names any more go."""
    kept = started()
    before = kept.state
    after = kept.apply([Put(policy("a/web", "app == 'web'", ingress=[rule()]))])

    assert after.endpoints is before.endpoints
    assert after.policies["NetworkPolicy/a/db"] is before.policies["NetworkPolicy/a/db"]
    assert len(after.address_sets) == len(before.address_sets) - 1


def test_endpoints_of_a_class_share_their_policies() -> None:
    """From scratch and incremental alike: one list of policies, however many replicas."""
    twin = workload("a/web-2", "10.244.0.7", labels={"app": "web", "hash": "2"})
    kept = started()
    kept.apply([Put(twin)])
    for state in (kept.state, policy_state(kept.cluster, "node-1")):
        first, second = (e for e in state.endpoints.values() if e.endpoint.startswith("a/web"))
        assert first.ingress is second.ingress


def test_the_first_of_two_workloads_has_their_interface() -> None:
    """Whoever came first in time: the order of keys decides, and the loser may still come in."""
    one = workload("a/1", "10.244.0.4", labels={"app": "web"})
    other = structs.replace(workload("a/2", "10.244.0.5"), interface=one.interface)
    kept = started()
    steps: list[tuple[Change, str]] = [
        (Put(other), "a/2"),
        (Put(one), "a/1"),
        (Remove(WorkloadEndpoint, "a/1"), "a/2"),
    ]
    for change, winner in steps:
        state = kept.apply([change])
        assert state.endpoints[one.interface].endpoint == winner
        assert state == policy_state(kept.cluster, "node-1")


def test_removing_everything_leaves_nothing() -> None:
    """No set, policy or endpoint stays behind."""
    kept = started()
    kept.apply([Remove(type(put.entity), put.entity.key) for put in puts(WORLD)])

    assert kept.state == policy_state(ClusterState(), "node-1")
    assert not kept.state.address_sets
    assert not kept.state.policies


def test_policy_that_comes_back_is_like_new() -> None:
    """A removed and re-added policy needs its sets filled again."""
    kept = started()
    before = kept.state
    kept.apply([Remove(Policy, "NetworkPolicy/a/db")])
    assert kept.state == policy_state(kept.cluster, "node-1")
    kept.apply([Put(WORLD.policies["NetworkPolicy/a/db"])])

    assert kept.state == before
