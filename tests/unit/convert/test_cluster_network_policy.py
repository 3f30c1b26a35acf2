"""ClusterNetworkPolicies become v3 GlobalNetworkPolicies, and fail closed."""

from __future__ import annotations

from typing import Any

import pytest

from chita.convert.cluster_network_policy import cluster_network_policy
from chita.convert.entities import entities
from chita.model.policy import Action, Direction, Policy
from chita.model.selector import canonical

PODS = "projectcalico.org/orchestrator == 'k8s'"
DENY_ALL = {"action": "Deny", "source": {}, "destination": {}}
NAMESPACES = {"matchLabels": {"k": "v", "k2": "v2"}}


def obj(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "policy.networking.k8s.io/v1alpha2",
        "kind": "ClusterNetworkPolicy",
        "metadata": {"name": "test.policy"},
        "spec": {"tier": "Admin", "priority": 100, "subject": {"namespaces": {}}, **spec},
    }


def converted(**spec: Any) -> dict[str, Any]:
    answer = cluster_network_policy(obj(**spec))
    assert answer.problems == ()
    assert answer.policy is not None
    found: dict[str, Any] = answer.policy["spec"]
    return found


@pytest.mark.parametrize(
    ("tier", "expected"),
    [
        pytest.param("Admin", "kube-admin", id="admin"),
        pytest.param("Baseline", "kube-baseline", id="baseline"),
    ],
)
def test_tier_and_order(tier: str, expected: str) -> None:
    spec = converted(tier=tier, priority=0)

    assert (expected, 0) == (spec["tier"], spec["order"])
    assert "types" not in spec


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        pytest.param({"namespaces": {}}, ("all()", PODS), id="all-namespaces"),
        pytest.param({"namespaces": NAMESPACES}, ("k == 'v' && k2 == 'v2'", PODS), id="namespaces"),
        pytest.param(
            {"pods": {"namespaceSelector": NAMESPACES, "podSelector": {"matchLabels": {"a": "b"}}}},
            ("k == 'v' && k2 == 'v2'", f"{PODS} && a == 'b'"),
            id="pods",
        ),
        pytest.param({"pods": {"podSelector": {}}}, ("all()", PODS), id="pods-of-any-namespace"),
    ],
)
def test_subject(subject: dict[str, Any], expected: tuple[str, str]) -> None:
    spec = converted(subject=subject)

    assert expected == (spec["namespaceSelector"], spec["selector"])


def test_rule() -> None:
    """The rule's name is kept as an annotation; Accept is Allow."""
    rule = {
        "name": "The first ingress rule",
        "action": "Accept",
        "from": [{"namespaces": NAMESPACES}],
        "protocols": [{"tcp": {"destinationPort": {"number": 80}}}],
    }
    expected = {
        "metadata": {"annotations": {"name": "The first ingress rule"}},
        "action": "Allow",
        "protocol": "TCP",
        "source": {"namespaceSelector": "k == 'v' && k2 == 'v2'"},
        "destination": {"ports": [80]},
    }
    spec = converted(ingress=[rule])

    assert [expected] == spec["ingress"]
    assert ["Ingress"] == spec["types"]


@pytest.mark.parametrize(
    ("protocols", "expected"),
    [
        pytest.param(None, [(None, None)], id="none"),
        pytest.param([{"udp": {}}], [("UDP", None)], id="all-of-udp"),
        pytest.param(
            [
                {"tcp": {"destinationPort": {"range": {"start": 2000, "end": 3000}}}},
                {"tcp": {"destinationPort": {"number": 80}}},
                {"sctp": {"destinationPort": {"number": 9}}},
            ],
            [("SCTP", [9]), ("TCP", [80, "2000:3000"])],
            id="by-protocol",
        ),
        pytest.param([{"destinationNamedPort": "web"}], [(None, ["web"])], id="named"),
    ],
)
def test_protocols(protocols: Any, expected: list[Any]) -> None:
    rule = {"action": "Deny", "to": [{"networks": ["192.0.2.0/24"]}], "protocols": protocols}
    rules = converted(egress=[rule])["egress"]

    assert expected == [(r.get("protocol"), r["destination"].get("ports")) for r in rules]


def test_networks_of_both_families_are_a_rule_each() -> None:
    """A v3 rule is of one family, so what is printed can be applied as it is."""
    networks = ["2001:db8::/32", "192.0.2.1/24", "198.51.100.0/24", "192.0.2.0/24"]
    rule = {"action": "Deny", "to": [{"networks": networks}, {"namespaces": {}}]}

    spec = converted(egress=[rule])

    assert [
        {"nets": ["192.0.2.0/24", "198.51.100.0/24"]},
        {"nets": ["2001:db8::/32"]},
        {"namespaceSelector": "all()"},
    ] == [rule["destination"] for rule in spec["egress"]]


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param({"from": [{"nodes": {}}]}, id="peer-unknown"),
        pytest.param({"from": [{"networks": ["192.0.2.0/24"]}]}, id="networks-in-ingress"),
        pytest.param({"from": []}, id="no-peer"),
        pytest.param({"from": [{"namespaces": {}, "pods": {}}]}, id="two-in-one-peer"),
        pytest.param(
            {
                "from": [{"namespaces": {}}],
                "protocols": [{"tcp": {"destinationPort": {"range": {"start": 9, "end": 8}}}}],
            },
            id="range-backwards",
        ),
        pytest.param({"from": [{"namespaces": {}}], "ports": []}, id="field-of-an-older-version"),
    ],
)
@pytest.mark.parametrize(
    ("action", "expected"),
    [
        pytest.param("Accept", [], id="accept-dropped"),
        pytest.param("Deny", [DENY_ALL], id="deny-all"),
        pytest.param("Pass", [DENY_ALL], id="pass-denies-all"),
        pytest.param("Log", [], id="no-action-of-this-api"),
    ],
)
def test_rule_fails_closed(
    broken: dict[str, Any], action: str, expected: list[dict[str, Any]]
) -> None:
    """What denies or passes and means nothing denies everything (calico 2.15)."""
    good = {"action": "Accept", "from": [{"namespaces": {}}]}
    answer = cluster_network_policy(obj(ingress=[{"action": action, **broken}, good]))

    assert answer.policy is not None
    assert expected == answer.policy["spec"]["ingress"][:-1]
    assert len(answer.problems) == 1


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        pytest.param({"tier": "admin"}, "spec.tier", id="tier"),
        pytest.param({"priority": 1001}, "spec.priority", id="priority"),
        pytest.param({"priority": None}, "spec.priority", id="no-priority"),
        pytest.param({"subject": {}}, "spec.subject", id="no-subject"),
        pytest.param(
            {"subject": {"pods": {}, "namespaces": {}}}, "spec.subject", id="two-subjects"
        ),
        pytest.param({"ingres": []}, "spec.ingres", id="misspelt"),
    ],
)
def test_policy_that_means_nothing(spec: dict[str, Any], field: str) -> None:
    answer = cluster_network_policy(obj(**spec))

    assert answer.policy is None
    assert [field] == [problem.field for problem in answer.problems]


def test_model() -> None:
    """Peers and subjects are pods: without a namespace nothing is meant, whatever labels say."""
    absent = {"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}
    rule = {"action": "Pass", "from": [{"namespaces": absent}]}
    (policy,) = entities(obj(subject={"namespaces": absent}, ingress=[rule]))

    assert isinstance(policy, Policy)
    assert policy.key == "KubernetesClusterNetworkPolicy//test.policy"
    assert policy.types == {Direction.INGRESS}
    assert policy.ingress[0].action is Action.PASS
    assert policy.ingress[0].source.selector is not None
    expected = "(has(projectcalico.org/namespace) && !has(pcns.x))"
    assert expected == canonical(policy.ingress[0].source.selector)
    assert canonical(policy.selector) == (
        f"({PODS.replace(chr(39), chr(34))} && (has(projectcalico.org/namespace) && !has(pcns.x)))"
    )
