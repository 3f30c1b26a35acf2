"""What the API server fills in."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from chita.model.defaults import apply_defaults

Raw = dict[str, Any]
RULE = {"action": "Allow"}


def obj(kind: str, spec: Any, name: str = "x") -> Raw:
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


POOL = {
    "ipipMode": "Never",
    "vxlanMode": "Never",
    "nodeSelector": "all()",
    "allowedUses": ["Workload", "Tunnel"],
    "assignmentMode": "Automatic",
}


@pytest.mark.parametrize(
    ("before", "spec"),
    [
        pytest.param(
            obj("NetworkPolicy", {}), {"tier": "default", "types": ["Ingress"]}, id="no-rules"
        ),
        pytest.param(
            obj("NetworkPolicy", {"egress": [RULE]}),
            {"tier": "default", "types": ["Egress"], "egress": [RULE]},
            id="egress-rules-only",
        ),
        pytest.param(
            obj("GlobalNetworkPolicy", {"ingress": [RULE], "egress": [RULE], "tier": "t"}),
            {"tier": "t", "types": ["Ingress", "Egress"], "ingress": [RULE], "egress": [RULE]},
            id="both",
        ),
        pytest.param(
            obj("NetworkPolicy", {"types": ["Egress"], "tier": ""}),
            {"types": ["Egress"], "tier": "default"},
            id="types-as-written",
        ),
        pytest.param(
            obj("StagedNetworkPolicy", None),
            {"tier": "default", "stagedAction": "Set", "types": ["Ingress"]},
            id="staged",
        ),
        pytest.param(
            obj("StagedGlobalNetworkPolicy", {"stagedAction": "Delete"}),
            {"tier": "default", "stagedAction": "Delete"},
            id="staged-delete-stays-empty",
        ),
        pytest.param(obj("Tier", {"order": 5}), {"order": 5, "defaultAction": "Deny"}, id="tier"),
        pytest.param(
            obj("Tier", None, "kube-baseline"),
            {"order": 10_000_000, "defaultAction": "Pass"},
            id="built-in-tier",
        ),
        pytest.param(
            obj("IPPool", {"cidr": "10.0.0.0/16"}),
            {"cidr": "10.0.0.0/16", "blockSize": 26, **POOL},
            id="pool",
        ),
        pytest.param(
            obj("IPPool", {"cidr": "fd00::/64", "vxlanMode": "Always"}),
            {"cidr": "fd00::/64", "blockSize": 122, **POOL, "vxlanMode": "Always"},
            id="pool-v6",
        ),
        pytest.param(
            obj("IPPool", {"cidr": "10.0.0.0/16", "namespaceSelector": "has(a)"}),
            {
                "cidr": "10.0.0.0/16",
                "blockSize": 26,
                "namespaceSelector": "has(a)",
                **POOL,
                "allowedUses": ["Workload"],
            },
            id="pool-of-namespaces",
        ),
        pytest.param(obj("IPPool", {"cidr": "x"}), {"cidr": "x", **POOL}, id="pool-without-sense"),
        pytest.param(obj("IPPool", ["x"]), ["x"], id="spec-without-sense"),
        pytest.param(obj("NetworkSet", {}), {}, id="nothing-to-fill-in"),
        # Its spec is required: an empty one made here would pass for a block without a cidr.
        pytest.param(obj("IPAMBlock", None), None, id="required-and-without-defaults"),
    ],
)
def test_apply_defaults(before: Raw, spec: Any) -> None:
    """The object itself stays as it is, and twice is once."""
    original = copy.deepcopy(before)

    after = apply_defaults(before)

    assert spec == after["spec"]
    assert original == before
    assert after == apply_defaults(after)


def test_other_kinds_come_back_equal() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}

    assert pod == apply_defaults(pod)
