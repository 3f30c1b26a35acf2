"""Core Kubernetes objects and policies: what is empty, and what is no address."""

from __future__ import annotations

from typing import Any

import pytest

from chita.convert.entities import conversion
from chita.model.validate.objects import validate

Raw = dict[str, Any]


def policy(api_version: str, kind: str, spec: Raw) -> Raw:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": "p", "namespace": "n"} if kind == "NetworkPolicy" else {"name": "p"},
        "spec": spec,
    }


ANP: Raw = {"priority": 1, "subject": {"namespaces": {}}}


@pytest.mark.parametrize(
    ("obj", "field"),
    [
        pytest.param(
            {
                "apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"},
                "status": {"addresses": [{"type": "InternalIP", "address": "a.example"}]},
            },
            "status.addresses[0].address", id="node-address",
        ),
        pytest.param(
            {
                "apiVersion": "v1", "kind": "Node",
                "metadata": {"name": "a", "annotations": {"chita.dev/mesh-ipv4": "x"}},
            },
            "metadata.annotations.chita.dev/mesh-ipv4", id="mesh-address",
        ),
        pytest.param(
            policy(
                "networking.k8s.io/v1", "NetworkPolicy",
                {"podSelector": {}, "ingress": [{"ports": [{"port": ""}]}]},
            ),
            "spec.ingress[0].ports[0].port", id="network-policy-port",
        ),
        pytest.param(
            policy(
                "policy.networking.k8s.io/v1alpha1", "AdminNetworkPolicy",
                {**ANP, "ingress": [{
                    "action": "Deny", "from": [{"namespaces": {}}], "ports": [{"namedPort": ""}],
                }]},
            ),
            "spec.ingress[0].ports[0].namedPort", id="admin-policy-port",
        ),
        pytest.param(
            policy(
                "policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy",
                {**ANP, "tier": "Admin", "ingress": [{
                    "action": "Deny", "from": [{"namespaces": {}}],
                    "protocols": [{"destinationNamedPort": ""}],
                }]},
            ),
            "spec.ingress[0].protocols[0].destinationNamedPort", id="cluster-policy-port",
        ),
        pytest.param(
            policy(
                "projectcalico.org/v3", "GlobalNetworkPolicy",
                {"ingress": [{"action": "Deny", "notProtocol": ""}]},
            ),
            "spec.ingress[0].notProtocol", id="protocol",
        ),
        pytest.param(
            policy(
                "projectcalico.org/v3", "GlobalNetworkPolicy",
                {"ingress": [{"action": "Deny", "metadata": {"annotations": {"a": "\ud800"}}}]},
            ),
            "spec.ingress[0].metadata.annotations.a", id="half-a-character",
        ),
    ],
)  # fmt: skip
def test_refused_alike(obj: Raw, field: str) -> None:
    """By validation and by conversion."""
    problems = validate(obj)
    assert [field] == [problem.field for problem in problems]
    assert [field] == [problem.field for problem in conversion(obj).problems]


def test_null_label_is_empty() -> None:
    """As it is to Kubernetes."""
    obj = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "n", "labels": {"a": None}},
    }
    answer = conversion(obj)
    assert [] == validate(obj)
    assert answer.entities
    assert not answer.problems
