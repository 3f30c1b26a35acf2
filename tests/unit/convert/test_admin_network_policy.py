"""What ClusterNetworkPolicy replaced becomes what such a policy becomes."""

from __future__ import annotations

from typing import Any

import pytest

from chita.convert.admin_network_policy import (
    admin_network_policy,
    baseline_admin_network_policy,
)
from chita.convert.cluster_network_policy import cluster_network_policy
from chita.convert.entities import entities
from chita.convert.network_policy import V3Policy
from chita.model.policy import Policy

Raw = dict[str, Any]
API = "policy.networking.k8s.io/v1alpha1"
NAMESPACES = {"matchLabels": {"k": "v"}}
PORTS = [
    {"portNumber": {"port": 80}},
    {"portRange": {"start": 2000, "end": 3000, "protocol": "TCP"}},
    {"portNumber": {"port": 53, "protocol": "UDP"}},
    {"namedPort": "web"},
]
PROTOCOLS = [
    {"tcp": {"destinationPort": {"number": 80}}},
    {"tcp": {"destinationPort": {"range": {"start": 2000, "end": 3000}}}},
    {"udp": {"destinationPort": {"number": 53}}},
    {"destinationNamedPort": "web"},
]


def obj(kind: str, **spec: Any) -> Raw:
    return {
        "apiVersion": API,
        "kind": kind,
        "metadata": {"name": "default"},
        "spec": {"subject": {"namespaces": NAMESPACES}, **spec},
    }


def successor(tier: str, order: int, **spec: Any) -> V3Policy:
    written = obj("ClusterNetworkPolicy", tier=tier, priority=order, **spec)
    return cluster_network_policy(written | {"apiVersion": "policy.networking.k8s.io/v1alpha2"})


def test_an_admin_policy_is_its_successor() -> None:
    """Same rules in the same words, but for Accept and the names of ports."""
    peers = [{"namespaces": NAMESPACES}, {"networks": ["192.0.2.0/24", "2001:db8::/32"]}]
    old = obj(
        "AdminNetworkPolicy",
        priority=7,
        ingress=[{"name": "n", "action": "Allow", "from": peers[:1], "ports": PORTS}],
        egress=[{"action": "Pass", "to": peers}, {"action": "Deny", "to": peers, "ports": []}],
    )

    assert admin_network_policy(old) == successor(
        "Admin",
        7,
        ingress=[{"name": "n", "action": "Accept", "from": peers[:1], "protocols": PROTOCOLS}],
        egress=[{"action": "Pass", "to": peers}, {"action": "Deny", "to": peers}],
    )


def test_the_baseline_policy_comes_last_in_its_tier() -> None:
    rule = {"action": "Deny", "from": [{"namespaces": {}}]}

    assert baseline_admin_network_policy(
        obj("BaselineAdminNetworkPolicy", ingress=[rule])
    ) == successor("Baseline", 1000, ingress=[rule])


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param({"from": [{"nodes": {}}]}, id="nodes"),
        pytest.param({"from": [{"namespaces": {}}], "ports": [{}]}, id="no-port"),
        pytest.param(
            {"from": [{"namespaces": {}}], "ports": [{"portNumber": {}}]}, id="port-of-nothing"
        ),
        pytest.param(
            {
                "from": [{"namespaces": {}}],
                "ports": [{"portRange": {"start": 1000, "end": 10}}],
            },
            id="backwards",
        ),
        pytest.param({"from": [{"namespaces": {}}], "protocols": []}, id="field-of-the-successor"),
    ],
)
@pytest.mark.parametrize(
    ("action", "expected"),
    [
        pytest.param("Allow", [], id="allow-dropped"),
        pytest.param("Deny", ["Deny"], id="deny-all"),
        pytest.param("Pass", ["Deny"], id="pass-denies-all"),
        pytest.param("Accept", [], id="no-action-of-this-api"),
    ],
)
def test_bad_rules_fail_closed(action: str, expected: list[str], broken: Raw) -> None:
    answer = admin_network_policy(
        obj("AdminNetworkPolicy", priority=1, ingress=[{"action": action, **broken}])
    )

    assert answer.policy is not None
    assert expected == [rule["action"] for rule in answer.policy["spec"].get("ingress", [])]
    assert 1 == len(answer.problems)
    assert answer.problems[0].field.startswith("spec.ingress[0]")


def test_a_baseline_policy_passes_nothing() -> None:
    """Its API has no Pass: such a rule fails closed."""
    rule = {"action": "Pass", "from": [{"namespaces": {}}]}
    answer = baseline_admin_network_policy(obj("BaselineAdminNetworkPolicy", ingress=[rule]))

    assert answer.policy is not None
    assert [{"action": "Deny", "source": {}, "destination": {}}] == answer.policy["spec"]["ingress"]


def test_keys_are_apart() -> None:
    """An old and a new policy of one name are two."""
    (admin,) = entities(obj("AdminNetworkPolicy", priority=1))
    (baseline,) = entities(obj("BaselineAdminNetworkPolicy"))

    assert isinstance(admin, Policy)
    assert isinstance(baseline, Policy)
    assert ("KubernetesAdminNetworkPolicy//default", "kube-admin") == (admin.key, admin.tier)
    assert "KubernetesBaselineAdminNetworkPolicy//default" == baseline.key
    assert ("kube-baseline", frozenset()) == (baseline.tier, baseline.types)
