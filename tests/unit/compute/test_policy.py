"""A node's policy from scratch: what is in it, and what is not."""

from __future__ import annotations

import pytest
from msgspec import structs

from build import (
    ALLOW,
    INGRESS,
    cidrs,
    cluster,
    endpoint_slice,
    host_endpoint,
    namespace,
    network_set,
    node,
    policy,
    pool,
    rule,
    side,
    workload,
)
from chita.compute.policy import cluster_networks, masquerade_sources, policy_state
from chita.desired.policy import PolicyState
from chita.model.cluster import Entity
from chita.model.endpoint import Profile
from chita.model.policy import StagedAction
from chita.model.selector import parse_selector, uid
from chita.model.settings import FlowLogGroups, HostAction, Period, Rate, Settings

WEB = workload("a/web", "10.244.0.1", labels={"app": "web"})
FAR = workload("a/far", "10.244.1.1", labels={"app": "far"}, node="node-2")


def state(*entities: Entity) -> PolicyState:
    return policy_state(cluster(namespace("a"), WEB, FAR, *entities), "node-1")


def test_only_local_endpoints() -> None:
    assert [each.endpoint for each in state().endpoints.values()] == ["a/web"]


def test_unknown_node_has_an_empty_policy() -> None:
    """Before anything local is known there is nothing to let through."""
    empty = policy_state(cluster(FAR, namespace("a")), "node-1")

    assert not empty.endpoints
    assert not empty.profiles


@pytest.mark.parametrize(
    "unused",
    [
        pytest.param(policy("b/p", ingress=[rule(source=side("x == 'y'"))]), id="namespace"),
        pytest.param(
            policy("a/p", "app == 'far'", ingress=[rule(source=side("x == 'y'"))]), id="selector"
        ),
        pytest.param(Profile(name="other", ingress=(rule(source=side("x == 'y'")),)), id="profile"),
        pytest.param(network_set("/n", "203.0.113.0/24", x="y"), id="network-set"),
        pytest.param(host_endpoint("h", "10.0.0.9", node="node-2"), id="host-endpoint"),
        pytest.param(endpoint_slice("a/s", "s-1", ("10.244.0.1", 80)), id="service"),
        pytest.param(
            structs.replace(policy("/p", ingress=[rule()]), do_not_track=True), id="untracked"
        ),
    ],
)
def test_it_holds_nothing_that_its_endpoints_do_not_use(unused: Entity) -> None:
    assert state() == state(unused)


def test_sets_of_unused_directions_are_left_out() -> None:
    """Rules of a direction that is not among the policy's types are not there."""
    ingress_only = structs.replace(
        policy("a/p", ingress=[], egress=[rule(destination=side("has(x)"))]),
        types=frozenset({INGRESS}),
    )

    assert not state(ingress_only).address_sets
    assert state(ingress_only).policies["NetworkPolicy/a/p"].egress == ()


def test_staged_policies_are_listed_with_rules_to_count() -> None:
    """v3 2.12: they never affect packets; the kernel counts what they would have matched."""
    staged = policy("a/p", ingress=[rule(source=side("has(x)"))], staged=StagedAction.SET)
    only = state(staged)

    assert only.endpoints[WEB.interface].ingress[0].staged == {"NetworkPolicy/a/p"}
    assert len(only.policies["NetworkPolicy/a/p"].ingress) == 1
    assert only.address_sets


def test_a_staged_removal_has_nothing_to_count() -> None:
    """It previews that a policy is gone."""
    staged = policy("a/p", ingress=[rule(source=side("has(x)"))], staged=StagedAction.DELETE)
    only = state(staged)

    assert not only.policies
    assert not only.address_sets


def test_equal_selectors_share_one_set() -> None:
    """However they are spelled; the set is named by their uid."""
    shared = state(
        policy("a/p", ingress=[rule(source=side("app in {'b', 'a'}"))]),
        policy("a/q", ingress=[rule(source=side('app  in{"a","b"}'))]),
    )

    assert list(shared.address_sets) == [uid(parse_selector("app in {'a', 'b'}"))]


def test_missing_profile_is_named_and_absent() -> None:
    """v3 2.8: a reference to a missing profile fails closed; the kernel sees that it is missing."""
    lost = state(structs.replace(WEB, profiles=("gone", "kns.a")))

    assert lost.endpoints[WEB.interface].profiles == ("gone", "kns.a")
    assert list(lost.profiles) == ["kns.a"]


def test_networks() -> None:
    """Pools that masquerade, and what is inside: never masqueraded."""
    known = cluster(
        pool("nat", "10.244.0.0/16", nat_outgoing=True),
        structs.replace(pool("off", "10.244.8.0/24", nat_outgoing=True), disabled=True),
        pool("plain", "fd00:10:244::/64"),
        node("n", "10.0.0.1", mesh="100.64.0.1", external="203.0.113.1"),
        Settings(mesh_cidrs=cidrs("100.64.0.0/16")),
    )

    assert masquerade_sources(known) == cidrs("10.244.0.0/16")
    assert cluster_networks(known) == cidrs(
        "10.0.0.1/32 10.244.0.0/16 100.64.0.0/16 fd00:10:244::/64"
    )


def test_settings() -> None:
    known = state(
        Settings(
            endpoint_to_host=HostAction.DROP,
            log_prefix="drop",
            log_rate=Rate(2, Period.DAY),
            log_burst=3,
            flow_log_groups=FlowLogGroups(ingress=7, egress=8),
        )
    )

    assert known.endpoint_to_host is HostAction.DROP
    assert known.log_prefix == "drop"
    assert (Rate(2, Period.DAY), 3) == (known.log_rate, known.log_burst)
    assert FlowLogGroups(ingress=7, egress=8) == known.flow_log_groups


def test_rules_know_their_tier() -> None:
    """Prefixes of logs name it; a profile has none."""
    known = state(policy("a/p", tier="security", ingress=[]), policy("a/q", ingress=[]))

    assert known.policies["NetworkPolicy/a/p"].tier == "security"
    assert known.policies["NetworkPolicy/a/q"].tier == "default"
    assert {each.tier for each in known.profiles.values()} == {""}


def test_rules_keep_their_places() -> None:
    """Rule i there is rule i here, also one that can never match: counters name it."""
    rules = [rule(), rule(family=4, source=side(nets="2001:db8::/32")), rule(source=side("has(x)"))]
    resolved = state(policy("a/p", ingress=rules)).policies["NetworkPolicy/a/p"]

    assert [each.action for each in resolved.ingress] == [ALLOW] * 3
    assert resolved.ingress[2].source.sets == (uid(parse_selector("has(x)")),)
