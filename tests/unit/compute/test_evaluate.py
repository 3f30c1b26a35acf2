"""The reference semantics: who decides on a flow, and how."""

from __future__ import annotations

from typing import Any

import pytest

from build import (
    ALLOW,
    DENY,
    LOG,
    PASS,
    cluster,
    endpoint_slice,
    host_endpoint,
    namespace,
    network_set,
    node,
    policy,
    port,
    rule,
    side,
    tier,
    workload,
)
from chita.compute.evaluate import Evaluator, evaluate
from chita.compute.flow import (
    ByEndpointToHost,
    ByHostExemption,
    ByItself,
    ByMissingProfile,
    ByNoProfile,
    ByProfile,
    ByRule,
    ByTierEnd,
    ByTunnel,
    Decision,
    ExternalParty,
    Flow,
    HostParty,
    NotApplicable,
    Party,
    Verdict,
    WorkloadParty,
)
from chita.model.cluster import ClusterState, Entity
from chita.model.endpoint import Profile
from chita.model.net import ICMP, SCTP, TCP, UDP, Address
from chita.model.policy import HttpMatch, IcmpMatch, Rule, StagedAction
from chita.model.settings import HostAction, Settings

WEB, DB, FAR, OUT = "10.244.0.1", "10.244.0.2", "10.244.1.1", "203.0.113.7"
HOST_1, HOST_2 = "10.0.0.1", "10.0.0.2"
BASE: tuple[Entity, ...] = (
    namespace("a", team="blue"),
    namespace("b", team="red"),
    workload("a/web", f"{WEB} fd00:10:244::1", labels={"app": "web"}, ports=[port("http", 80)]),
    workload("a/db", f"{DB} fd00:10:244::2", labels={"app": "db"}),
    workload("b/far", FAR, labels={"app": "far"}, node="node-2"),
    node("node-1", f"{HOST_1} 2001:db8::1", mesh="100.64.0.1"),
    node("node-2", HOST_2),
)


def world(*more: Entity) -> ClusterState:
    return cluster(*BASE, *more)


def flow(source: str, destination: str, at: int = 80, **fields: Any) -> Flow:
    return Flow(
        source=Address.parse(source),
        destination=Address.parse(destination),
        destination_port=at,
        **{"protocol": TCP, **fields},
    )


KNS_A = ByProfile(ALLOW, "kns.a", 0)
KEY = "NetworkPolicy/a/p"


@pytest.mark.parametrize(
    ("source", "destination", "egress", "ingress"),
    [
        pytest.param(DB, WEB, KNS_A, KNS_A, id="pod-to-pod"),
        pytest.param(WEB, WEB, ByItself(), ByItself(), id="pod-to-itself"),
        pytest.param(
            HOST_1, WEB, NotApplicable(HostParty("node-1")), ByHostExemption("node-1"),
            id="node-to-own-pod",
        ),
        pytest.param(
            "100.64.0.1", WEB, NotApplicable(HostParty("node-1")), ByHostExemption("node-1"),
            id="node-to-own-pod-from-mesh-address",
        ),
        pytest.param(
            HOST_2, WEB, NotApplicable(HostParty("node-2")), KNS_A, id="node-to-other-nodes-pod"
        ),
        pytest.param(
            WEB, HOST_1, KNS_A, ByEndpointToHost(HostAction.ACCEPT), id="pod-to-own-node"
        ),
        pytest.param(
            WEB, HOST_2, KNS_A, NotApplicable(HostParty("node-2")), id="pod-to-other-node"
        ),
        pytest.param(
            HOST_1, HOST_2, NotApplicable(HostParty("node-1")), NotApplicable(HostParty("node-2")),
            id="node-to-node",
        ),
        pytest.param(
            OUT, WEB, NotApplicable(ExternalParty(Address.parse(OUT))), KNS_A, id="outside-to-pod"
        ),
        pytest.param(
            WEB, OUT, KNS_A, NotApplicable(ExternalParty(Address.parse(OUT))), id="pod-to-outside"
        ),
    ],
)  # fmt: skip
def test_parties(source: str, destination: str, egress: Decision, ingress: Decision) -> None:
    """Who stands at either end decides what is enforced there."""
    verdict = evaluate(world(), flow(source, destination))

    assert (egress, ingress) == (verdict.egress.decided_by, verdict.ingress.decided_by)
    assert verdict.verdict is Verdict.ALLOW


def test_setting_drops_what_pods_send_to_their_own_node() -> None:
    """v3 2.23 ``defaultEndpointToHostAction``."""
    verdict = evaluate(world(Settings(endpoint_to_host=HostAction.DROP)), flow(WEB, HOST_1))

    assert verdict.verdict is Verdict.DENY
    assert verdict.ingress.decided_by == ByEndpointToHost(HostAction.DROP)


def test_egress_policy_holds_towards_the_own_node() -> None:
    """The setting is asked after egress policy allowed it, not instead."""
    verdict = evaluate(world(policy("a/p", egress=[])), flow(WEB, HOST_1))

    assert verdict.egress.decided_by == ByTierEnd("default", (KEY,))
    assert verdict.verdict is Verdict.DENY


@pytest.mark.parametrize(
    ("entities", "source", "destination", "expected"),
    [
        pytest.param(
            (node("node-3", HOST_1, location="there"),),
            HOST_1, WEB, (HostParty("node-1"), WorkloadParty("a/web", "node-1")),
            id="reused-address-is-the-pods-own-node",
        ),
        pytest.param(
            (node("node-0", HOST_2, location="there"),),
            FAR, HOST_2, (WorkloadParty("b/far", "node-2"), HostParty("node-2")),
            id="reused-address-as-destination",
        ),
        pytest.param(
            (node("node-0", HOST_2, location="there"),),
            OUT, HOST_2, (ExternalParty(Address.parse(OUT)), HostParty("node-0")),
            id="reused-address-otherwise-the-first",
        ),
    ],
)  # fmt: skip
def test_addresses_that_locations_reuse(
    entities: tuple[Entity, ...], source: str, destination: str, expected: tuple[Party, Party]
) -> None:
    """Private addresses mean something only inside a location."""
    assert expected == Evaluator(world(*entities)).parties(flow(source, destination))


def test_flow_may_name_its_nodes() -> None:
    """Where an address alone does not say."""
    evaluator = Evaluator(world(node("node-3", HOST_1, location="there")))
    verdict = evaluator.evaluate(flow(HOST_1, WEB, source_node="node-3"))

    assert verdict.source == HostParty("node-3")
    assert verdict.ingress.decided_by == KNS_A


def ingress(*rules: Rule, **fields: Any) -> tuple[Entity, ...]:
    return (policy("a/p", "app == 'web'", ingress=rules, **fields),)


GLOBAL = "GlobalNetworkPolicy//"
DEFAULT_END = ByTierEnd("default", (KEY,))
STAGED = StagedAction.SET


@pytest.mark.parametrize(
    ("entities", "expected"),
    [
        pytest.param(ingress(), DEFAULT_END, id="no-rules"),
        pytest.param(ingress(rule(LOG)), DEFAULT_END, id="log-only"),
        pytest.param(
            ingress(rule(LOG), rule()), ByRule(ALLOW, "default", KEY, 1), id="log-goes-on"
        ),
        pytest.param(ingress(rule(PASS), rule(DENY)), KNS_A, id="pass-in-last-tier-to-profiles"),
        pytest.param(ingress(staged=STAGED), KNS_A, id="staged-only"),
        pytest.param((policy("a/p", egress=[]),), KNS_A, id="other-direction"),
        pytest.param((policy("b/p", ingress=[]),), KNS_A, id="other-namespace"),
        pytest.param(
            (*ingress(rule()), policy("/q", ingress=[rule(DENY)], order=1)),
            ByRule(DENY, "default", f"{GLOBAL}q", 0),
            id="lower-order-first",
        ),
        pytest.param(
            (*ingress(rule()), policy("/q", ingress=[rule(DENY)], order=1, staged=STAGED)),
            ByRule(ALLOW, "default", KEY, 0),
            id="staged-is-stepped-over",
        ),
        pytest.param(
            (
                tier("first", 1),
                policy("/q", ingress=[rule(PASS), rule(DENY)], tier="first"),
                *ingress(rule()),
            ),
            ByRule(ALLOW, "default", KEY, 0),
            id="pass-skips-the-rest-of-its-tier",
        ),
        pytest.param(
            (
                tier("first", 1),
                policy("/q", ingress=[rule(protocol=UDP)], tier="first"),
                *ingress(rule()),
            ),
            ByTierEnd("first", (f"{GLOBAL}q",)),
            id="end-of-an-earlier-tier",
        ),
        pytest.param(
            (
                tier("first", 1, PASS),
                policy("/q", ingress=[rule(protocol=UDP)], tier="first"),
                *ingress(rule()),
            ),
            ByRule(ALLOW, "default", KEY, 0),
            id="tier-that-passes",
        ),
        pytest.param(
            (policy("/q", ingress=[rule()], tier="nowhere"), *ingress(rule(PASS))),
            ByRule(ALLOW, "nowhere", f"{GLOBAL}q", 0),
            id="nonexistent-tier-after-default",
        ),
        pytest.param(
            tuple(policy(f"/{x}", ingress=[rule()], tier=f"nowhere-{x}") for x in "fedcba"),
            ByRule(ALLOW, "nowhere-a", f"{GLOBAL}a", 0),
            id="nonexistent-tiers-by-name",
        ),
        pytest.param(
            (policy("/q", ingress=[], tier="nowhere"),),
            ByTierEnd("nowhere", (f"{GLOBAL}q",)),
            id="nonexistent-tier-denies",
        ),
        pytest.param(
            (policy("/q", ingress=[rule(DENY)], tier="kube-baseline"), *ingress(rule(PASS))),
            ByRule(DENY, "kube-baseline", f"{GLOBAL}q", 0),
            id="baseline-after-default",
        ),
    ],
)
def test_tiers(entities: tuple[Entity, ...], expected: Decision) -> None:
    """v3 2.7, and traps 1 to 3."""
    verdict = evaluate(world(*entities), flow(DB, WEB))

    assert expected == verdict.ingress.decided_by


@pytest.mark.parametrize(
    ("profiles", "expected"),
    [
        pytest.param((), ByNoProfile(), id="none"),
        pytest.param(("gone",), ByMissingProfile("gone"), id="missing"),
        pytest.param(("kns.a", "gone"), KNS_A, id="decided-before-the-missing-one"),
        pytest.param(("udp", "kns.a"), KNS_A, id="first-that-matches"),
        pytest.param(("udp",), ByNoProfile(), id="no-match"),
        pytest.param(("deny", "kns.a"), ByProfile(DENY, "deny", 0), id="deny"),
        pytest.param(("pass", "kns.a"), KNS_A, id="pass-goes-to-the-next"),
    ],
)
def test_profiles(profiles: tuple[str, ...], expected: Decision) -> None:
    """v3 2.7: after the tiers, in order; no match drops; a missing one denies (2.8)."""
    state = world(
        workload("a/web", WEB, profiles=profiles),
        Profile(name="udp", ingress=(rule(protocol=UDP),)),
        Profile(name="deny", ingress=(rule(DENY),)),
        Profile(name="pass", ingress=(rule(PASS), rule(DENY))),
    )

    assert expected == evaluate(state, flow(DB, WEB)).ingress.decided_by


SETS: tuple[Entity, ...] = (
    network_set("/out", "203.0.113.0/24", kind="outside"),
    network_set("a/mine", "198.51.100.0/24", kind="mine"),
    host_endpoint("hep", HOST_2, labels={"role": "host"}, node="node-2"),
    endpoint_slice("a/db", "db-1", (DB, 5432)),
    endpoint_slice("a/web", "web-1", (WEB, 80)),
)
IN_TEAM = "pcns.team == 'blue'"


@pytest.mark.parametrize(
    ("one", "matching", "others"),
    [
        pytest.param(rule(source=side("app == 'db'")), [DB], [FAR, OUT, HOST_2], id="selector"),
        pytest.param(rule(source=side("all()")), [DB, FAR, OUT, HOST_2], ["192.0.2.9"], id="all"),
        pytest.param(
            rule(source=side("!has(app)")), [OUT, HOST_2], [DB, "192.0.2.9"], id="not-has"
        ),
        pytest.param(
            rule(source=side(not_selector="has(app)")), [OUT, "192.0.2.9"], [DB], id="not-selector"
        ),
        pytest.param(
            rule(source=side(IN_TEAM, not_selector="app == 'db'")),
            ["198.51.100.3"], [DB, FAR, OUT],
            id="selector-and-not-selector",
        ),
        pytest.param(rule(source=side(IN_TEAM)), [DB, "198.51.100.3"], [FAR, OUT], id="namespace"),
        pytest.param(rule(source=side("kind == 'outside'")), [OUT], ["203.0.114.1"], id="set"),
        pytest.param(rule(source=side("role == 'host'")), [HOST_2], [FAR], id="host-endpoint"),
        pytest.param(rule(source=side(nets="10.244.0.0/24")), [DB], [FAR], id="nets"),
        pytest.param(rule(source=side(not_nets="10.244.0.0/24")), [FAR], [DB], id="not-nets"),
        pytest.param(
            rule(source=side("has(app)", nets="10.244.0.0/24")), [DB], [FAR], id="selector-and-nets"
        ),
        pytest.param(rule(source=side(service="a/db")), [DB], [FAR], id="service-source"),
        pytest.param(rule(source=side(service="a/none")), [], [DB], id="service-unknown"),
        pytest.param(rule(destination=side(service="a/web")), [DB], [], id="service-destination"),
        pytest.param(rule(destination=side("app == 'web'")), [DB], [], id="own-selector"),
        pytest.param(rule(destination=side("app == 'db'")), [], [DB], id="own-other-selector"),
    ],
)  # fmt: skip
def test_addresses(one: Rule, matching: list[str], others: list[str]) -> None:
    """v3 2.5 and its edge cases 1 to 4 and 8."""
    evaluator = Evaluator(world(*SETS, *ingress(one)))
    for source, allowed in [(each, True) for each in matching] + [(each, False) for each in others]:
        decision = evaluator.evaluate(flow(source, WEB)).ingress.decided_by

        expected: Decision = ByRule(ALLOW, "default", KEY, 0) if allowed else DEFAULT_END
        assert expected == decision, source


@pytest.mark.parametrize(
    ("one", "fields", "matches"),
    [
        pytest.param(rule(protocol=TCP), {}, "yes", id="protocol"),
        pytest.param(rule(protocol=SCTP), {}, "no", id="other-protocol"),
        pytest.param(rule(not_protocol=TCP), {}, "no", id="not-protocol"),
        pytest.param(rule(not_protocol=UDP), {}, "yes", id="not-other-protocol"),
        pytest.param(rule(destination=side(ports="79:80")), {}, "yes", id="port-range"),
        pytest.param(rule(destination=side(ports="81")), {}, "no", id="other-port"),
        pytest.param(rule(destination=side(ports="81 http")), {}, "yes", id="number-or-name"),
        pytest.param(rule(destination=side(ports="dns")), {}, "no", id="undeclared-name"),
        pytest.param(
            rule(destination=side(ports="http")), {"protocol": UDP}, "no", id="name-of-tcp"
        ),
        pytest.param(
            rule(destination=side("app == 'db'", ports="http")), {}, "no", id="name-of-others"
        ),
        pytest.param(rule(destination=side(not_ports="80")), {}, "no", id="not-port"),
        pytest.param(rule(destination=side(not_ports="http")), {}, "no", id="not-name"),
        pytest.param(rule(destination=side(not_ports="dns")), {}, "yes", id="not-undeclared-name"),
        pytest.param(rule(source=side(ports="1024:65535")), {}, "yes", id="source-port"),
        pytest.param(
            rule(source=side(ports="1024:65535")), {"source_port": 53}, "no", id="source-port-below"
        ),
        pytest.param(rule(family=4), {}, "yes", id="family"),
        pytest.param(rule(family=6), {}, "no", id="other-family"),
        pytest.param(rule(source=side(not_nets="2001:db8::/32")), {}, "no", id="not-nets-of-ipv6"),
        pytest.param(rule(icmp=IcmpMatch(8)), {}, "no", id="icmp-of-tcp"),
        pytest.param(
            rule(icmp=IcmpMatch(8)), {"protocol": ICMP, "icmp_type": 8, "icmp_code": 0}, "yes",
            id="icmp-type",
        ),
        pytest.param(
            rule(icmp=IcmpMatch(8, 1)), {"protocol": ICMP, "icmp_type": 8, "icmp_code": 0}, "no",
            id="icmp-code",
        ),
        pytest.param(
            rule(not_icmp=IcmpMatch(8)), {"protocol": ICMP, "icmp_type": 8, "icmp_code": 0}, "no",
            id="not-icmp",
        ),
        pytest.param(Rule(action=ALLOW, http=HttpMatch(methods=("GET",))), {}, "no", id="http"),
    ],
)  # fmt: skip
def test_fields(one: Rule, fields: dict[str, Any], matches: str) -> None:
    """v3 2.4 and 2.5: every field that is set must fit."""
    verdict = evaluate(world(*ingress(one)), flow(DB, WEB, **fields))

    assert matches == ("yes" if verdict.verdict is Verdict.ALLOW else "no")


def test_rule_with_ipv4_nets_is_skipped_for_ipv6_even_if_it_denies() -> None:
    """v3 2.5, edge case 6; both families still end their tier (trap 7)."""
    state = world(*ingress(rule(DENY, source=side(not_nets="10.0.0.0/8")), rule()))
    six = flow("fd00:10:244::2", "fd00:10:244::1")

    assert evaluate(state, six).ingress.decided_by == ByRule(ALLOW, "default", KEY, 1)
    assert evaluate(world(*ingress(rule(family=4))), six).ingress.decided_by == DEFAULT_END


def test_named_port_is_one_of_what_the_selector_selects() -> None:
    """v3 2.5, edge case 5: not of another that has the same address."""
    one = rule(destination=side("kind == 'x'", ports="http"))
    state = world(network_set("/same", f"{WEB}/32", kind="x"), *ingress(one))

    assert evaluate(state, flow(DB, WEB)).ingress.decided_by == DEFAULT_END


def test_both_ends_must_allow() -> None:
    """v3 2.7: accepting egress on the source does not skip ingress on the destination."""
    state = world(policy("a/p", "app == 'db'", egress=[rule(protocol=UDP)]))
    verdict = evaluate(state, flow(DB, WEB))

    assert verdict.egress.action is Verdict.DENY
    assert verdict.ingress.action is Verdict.ALLOW
    assert verdict.verdict is Verdict.DENY


@pytest.mark.parametrize(
    ("protocol", "port", "verdict"),
    [
        pytest.param(UDP, 4789, Verdict.DENY, id="vxlan"),
        pytest.param(4, 0, Verdict.DENY, id="ipip"),
        pytest.param(UDP, 4790, Verdict.ALLOW, id="another-port"),
        pytest.param(TCP, 4789, Verdict.ALLOW, id="another-protocol"),
    ],
)
def test_workloads_may_not_tunnel(protocol: int, port: int, verdict: Verdict) -> None:
    """Packets inside would pass the policy of all nodes (calico.md 3.2)."""
    pods = workload("shop/web", "10.244.0.1"), workload("shop/db", "10.244.0.2")
    state = cluster(namespace("shop"), *pods)
    flow = Flow(
        source=Address.parse("10.244.0.1"),
        destination=Address.parse("10.244.0.2"),
        protocol=protocol,
        destination_port=port,
    )
    found = evaluate(state, flow).egress

    assert verdict is found.action
    assert isinstance(found.decided_by, ByTunnel) == (verdict is Verdict.DENY)
