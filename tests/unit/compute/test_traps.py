"""What implementations of the v3 API get wrong, as users write it and with its verdict.

The numbers are those of calico.md section 8; host endpoints (10, 11) stand in test_host_policy.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from build import (
    DENY,
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
from chita.compute.explain import explain as explanation
from chita.compute.explain import explanation_text
from chita.compute.flow import Flow, FlowVerdict, HostParty, Verdict
from chita.convert.entities import conversion
from chita.model.cluster import Entity
from chita.model.net import ICMP, TCP, UDP, Address
from chita.model.policy import Action, HttpMatch, Rule, StagedAction

WEB, WEB6, DB, FAR = "10.244.0.1", "fd00:10:244::1", "10.244.0.2", "10.244.1.1"
HOST, UNKNOWN, IN_SET = "10.0.0.1", "192.0.2.9", "203.0.113.7"
BASE: tuple[Entity, ...] = (
    namespace("a", team="blue"),
    namespace("b", team="red"),
    workload("a/web", f"{WEB} {WEB6}", labels={"app": "web"}, ports=[port("http", 80)]),
    workload("a/db", f"{DB} fd00:10:244::2", labels={"app": "db"}),
    workload("b/far", f"{FAR} fd00:10:244::3", labels={"app": "far"}, node="node-2"),
    node("node-1", HOST),
    network_set("/outside", "203.0.113.0/24 2001:db8::/32", kind="outside"),
)


def v3(kind: str, name: str, spec: dict[str, Any], namespace: str | None = None) -> Entity:
    """Return what the v3 object means."""
    metadata = {"name": name} | ({} if namespace is None else {"namespace": namespace})
    found = conversion(
        {
            "apiVersion": "projectcalico.org/v3",
            "kind": kind,
            "metadata": metadata,
            "spec": spec,
        }
    )
    assert not found.problems, found.problems
    (entity,) = found.entities
    return entity


def np(spec: dict[str, Any]) -> Entity:
    """Return a NetworkPolicy of namespace a."""
    return v3("NetworkPolicy", "p", spec, "a")


def gnp(spec: dict[str, Any]) -> Entity:
    """Return a GlobalNetworkPolicy for a/web."""
    return v3("GlobalNetworkPolicy", "p", {"selector": "app == 'web'", **spec})


def from_(**source: Any) -> dict[str, Any]:
    """Return the spec of a policy with one ingress rule that allows *source*."""
    return {"types": ["Ingress"], "ingress": [{"action": "Allow", "source": source}]}


def verdict(source: str, *more: Entity, to: str = WEB, at: int = 80, **fields: Any) -> FlowVerdict:
    flow = Flow(
        source=Address.parse(source),
        destination=Address.parse(to),
        destination_port=at,
        **{"protocol": TCP, **fields},
    )
    return evaluate(cluster(*BASE, *more), flow)


def allowed(source: str, *more: Entity, **fields: Any) -> bool:
    return verdict(source, *more, **fields).verdict is Verdict.ALLOW


TIER_CONTENTS: dict[str, tuple[dict[str, Any], ...]] = {
    "none": (),
    "staged only": ({"staged": StagedAction.SET, "rules": [Rule(action=Action.DENY)]},),
    "log only": ({"rules": [Rule(action=Action.LOG)]},),
    "pass only": ({"rules": [Rule(action=Action.PASS)]},),
    "allow misses": ({"rules": [Rule(action=Action.ALLOW, protocol=UDP)]},),
}
DROPS = {("log only", DENY), ("allow misses", DENY)}


@pytest.mark.parametrize(
    ("content", "end", "direction"),
    [
        pytest.param(*case, id=f"{case[0]}-{case[1]}-{case[2]}".replace(" ", "-").lower())
        for case in product(TIER_CONTENTS, (DENY, PASS), ("ingress", "egress"))
    ],
)
def test_trap_1_tier_drops_only_where_an_enforced_policy_of_the_direction_applies(
    content: str, end: Action, direction: str
) -> None:
    """Log alone is enough for the drop; staged is not; Pass goes on to the profiles."""
    policies = [
        policy(
            "a/p", "app == 'web'", tier="t", staged=each.get("staged"), **{direction: each["rules"]}
        )
        for each in TIER_CONTENTS[content]
    ]
    source, destination = (DB, WEB) if direction == "ingress" else (WEB, DB)

    expected = (content, end) not in DROPS
    assert expected is allowed(source, tier("t", 1, end), *policies, to=destination)


def test_trap_2_pass_after_the_last_tier_goes_to_the_profiles() -> None:
    """kns.a allows everything."""
    assert allowed(DB, np({"types": ["Ingress"], "ingress": [{"action": "Pass"}]}))


def test_trap_2_an_unmatched_default_tier_drops_before_the_baseline() -> None:
    """kube-baseline stands at order 10,000,000, after default."""
    baseline = gnp({**from_(), "tier": "kube-baseline"})

    assert allowed(DB, baseline)
    assert not allowed(DB, baseline, np({"types": ["Ingress"]}))


def test_trap_3_a_tier_that_does_not_exist_is_last_and_denies() -> None:
    """Its policies are kept, after those of all tiers there are."""
    lost = policy("a/lost", tier="lost", ingress=[rule()], order=0)
    first = policy("a/first", ingress=[rule(DENY)])

    assert allowed(DB, lost)
    assert not allowed(DB, lost, first)
    assert not allowed(DB, policy("a/lost", tier="lost", ingress=[]))


@pytest.mark.parametrize(
    ("spec", "egress"),
    [
        pytest.param({}, Verdict.ALLOW, id="neither"),
        pytest.param({"ingress": [{"action": "Allow"}]}, Verdict.ALLOW, id="ingress"),
        pytest.param({"egress": [{"action": "Deny"}]}, Verdict.DENY, id="egress"),
    ],
)
def test_trap_4_types_that_are_not_written_follow_from_the_rules(
    spec: dict[str, Any], egress: Verdict
) -> None:
    """No rules at all is Ingress: a default deny of what comes in, not of what goes out."""
    its = np(spec)

    assert egress is verdict(WEB, its, to=FAR).verdict
    assert (spec != {}) is allowed(FAR, its)


@pytest.mark.parametrize(
    ("source", "yes", "no"),
    [
        pytest.param({"selector": "has(app)"}, [DB], [FAR, IN_SET], id="own-namespace"),
        pytest.param({"nets": ["0.0.0.0/0"]}, [DB, FAR, UNKNOWN], [], id="nets-unrestricted"),
        pytest.param({"namespaceSelector": "all()"}, [DB, FAR], [IN_SET, UNKNOWN], id="all"),
        pytest.param({"namespaceSelector": "global()"}, [IN_SET], [DB, FAR], id="global"),
        pytest.param(
            {"selector": "app == 'far'", "namespaceSelector": "team == 'red'"},
            [FAR],
            [DB],
            id="both",
        ),
    ],
)
def test_trap_5_namespace_selector(source: dict[str, Any], yes: list[str], no: list[str]) -> None:
    """Without it a selector of a NetworkPolicy is of its own namespace, and nets of none."""
    its = np(from_(**source))

    assert [True] * len(yes) == [allowed(each, its) for each in yes]
    assert [False] * len(no) == [allowed(each, its) for each in no]


@pytest.mark.parametrize(
    ("its", "yes", "no"),
    [
        pytest.param(gnp(from_(notSelector="has(app)")), [UNKNOWN, IN_SET], [DB], id="gnp-not"),
        pytest.param(gnp(from_(selector="!has(app)")), [IN_SET], [DB, UNKNOWN], id="gnp-has-not"),
        pytest.param(np(from_(notSelector="app == 'far'")), [DB], [FAR, UNKNOWN], id="np-not"),
        pytest.param(
            gnp(from_(selector="app != 'db'")), [FAR, IN_SET], [DB, UNKNOWN], id="differs"
        ),
        pytest.param(
            gnp(from_(selector="app not in {'db'}")), [FAR, IN_SET], [DB, UNKNOWN], id="not-in"
        ),
    ],
)
def test_trap_6_negation(its: Entity, yes: list[str], no: list[str]) -> None:
    """Unknown addresses pass a lone notSelector of a global policy, and no other negation."""
    assert [True] * len(yes) == [allowed(each, its) for each in yes]
    assert [False] * len(no) == [allowed(each, its) for each in no]


def test_trap_7_a_rule_of_one_ip_version_does_not_exist_for_the_other() -> None:
    """Not even a Deny; the end of the tier holds for both."""
    deny = {"action": "Deny", "source": {"nets": ["10.0.0.0/8"]}}
    its = np({"types": ["Ingress"], "ingress": [deny, {"action": "Allow", "ipVersion": 6}]})

    assert allowed("fd00:10:244::2", its, to=WEB6)
    assert not allowed("fd00:10:244::2", np({"types": ["Ingress"], "ingress": [deny]}), to=WEB6)


def test_trap_8_named_ports() -> None:
    """They are of their protocol; beside numbers they are alternatives; undeclared never match."""
    one = {"action": "Allow", "protocol": "TCP", "destination": {"ports": ["http", 8080]}}
    its = np({"types": ["Ingress"], "ingress": [one]})
    absent = np({"ingress": [{**one, "destination": {"ports": ["nothing"]}}]})

    assert [True, True, False] == [allowed(DB, its, at=at) for at in (80, 8080, 443)]
    assert not allowed(DB, its, protocol=UDP)
    assert not allowed(DB, absent)


def test_trap_9_services() -> None:
    """A source is addresses alone, a destination with protocol and port, ready or not."""
    backends = endpoint_slice("a/api", "api-1", (DB, 5432))
    source = np(from_(services={"name": "api", "namespace": "a"}))
    rule_to = {"action": "Allow", "destination": {"services": {"name": "api", "namespace": "a"}}}
    egress = v3("NetworkPolicy", "p", {"types": ["Egress"], "egress": [rule_to]}, "a")

    assert allowed(DB, source, backends, at=9999)
    assert not allowed(FAR, source, backends)
    assert allowed(WEB, egress, backends, to=DB, at=5432)
    assert not allowed(WEB, egress, backends, to=DB, at=5433)
    assert not allowed(WEB, egress, backends, to=DB, at=5432, protocol=UDP)


def test_trap_12_a_missing_profile_denies() -> None:
    """Nobody widens what nobody defined."""
    assert not allowed(DB, workload("a/web", WEB, profiles=["gone"]))


def test_pending_reads_staged_policies_in_their_place() -> None:
    """Staged policies decide nothing and everything they would decide is told (v3 2.12)."""
    staged = policy("a/s", "app == 'web'", ingress=[rule(DENY)], staged=StagedAction.SET, order=1)
    found = verdict(DB, staged, policy("a/p", ingress=[rule()], order=2))

    assert (Verdict.ALLOW, Verdict.DENY) == (found.verdict, found.pending)


def test_pending_of_a_staged_delete_is_without_the_policy() -> None:
    """What would be deleted no longer decides."""
    deny = v3("NetworkPolicy", "p", {"ingress": [{"action": "Deny"}]}, "a")
    gone = v3("StagedNetworkPolicy", "p", {"stagedAction": "Delete"}, "a")
    found = verdict(DB, deny, gone)

    assert (Verdict.DENY, Verdict.ALLOW) == (found.verdict, found.pending)


def test_pending_of_a_staged_delete_counts_in_both_directions() -> None:
    """It says nothing of types: the policy that would go does."""
    deny = v3("NetworkPolicy", "p", {"types": ["Egress"], "egress": [{"action": "Deny"}]}, "a")
    gone = v3("StagedNetworkPolicy", "p", {"stagedAction": "Delete"}, "a")
    found = verdict(WEB, deny, gone, to=DB)

    assert (Verdict.DENY, Verdict.ALLOW) == (found.verdict, found.pending)


@pytest.mark.parametrize("action", ["Delete", "Learn", "Ignore"])
def test_staged_policies_that_preview_nothing_here_are_not_there(action: str) -> None:
    """A Delete of what does not apply here, and what is only learnt or ignored."""
    elsewhere = v3("GlobalNetworkPolicy", "p", {"selector": "app == 'no'"})
    staged = v3("StagedGlobalNetworkPolicy", "p", {"stagedAction": action})
    found = verdict(DB, elsewhere, staged)

    assert found.ingress.pending is None
    assert Verdict.ALLOW is found.verdict


def test_http_rule_allows_nothing_and_says_so() -> None:
    """Methods and paths are not known at this layer: never wider than written."""
    http = Rule(action=Action.ALLOW, protocol=TCP, http=HttpMatch(methods=("GET",)))
    state = cluster(*BASE, policy("a/p", ingress=[http]))
    flow = Flow(
        source=Address.parse(DB), destination=Address.parse(WEB), protocol=TCP, destination_port=80
    )
    told = explanation(Evaluator(state), flow)

    assert Verdict.DENY is told.verdict
    assert "http is set, seen nothing of HTTP" in explanation_text(told)


def test_external_address_of_a_node_is_the_node() -> None:
    """What a provider translates to it; but what comes from there is no local traffic."""
    seen = node("node-1", HOST, external="198.51.100.1")
    deny = np({"types": ["Ingress"]})

    assert HostParty("node-1") == verdict(FAR, seen, to="198.51.100.1").destination
    assert allowed(HOST, seen, deny)
    assert not allowed("198.51.100.1", seen, deny)


def test_icmp_rule_is_of_its_type() -> None:
    """Type 8 allowed is not type 13 allowed."""
    one = {"action": "Allow", "protocol": "ICMP", "icmp": {"type": 8}}
    its = np({"types": ["Ingress"], "ingress": [one]})

    assert allowed(DB, its, at=0, protocol=ICMP, icmp_type=8, icmp_code=0)
    assert not allowed(DB, its, at=0, protocol=ICMP, icmp_type=13, icmp_code=0)


def test_rule_for_hosts_by_label_needs_expected_addresses() -> None:
    """Case 4 of v3 2.5: never by the interface's name."""
    its = gnp(from_(selector="role == 'lb'"))
    source = side("role == 'lb'")

    assert source.selector is not None
    assert allowed("10.0.0.9", its, host_endpoint("h", "10.0.0.9", labels={"role": "lb"}))
    assert not allowed("10.0.0.9", its, host_endpoint("h", labels={"role": "lb"}))
