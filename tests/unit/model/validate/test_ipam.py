"""Pools and address management settings."""

from __future__ import annotations

from typing import Any

import pytest

from chita.model.validate.objects import validate

Raw = dict[str, Any]


def found(kind: str, spec: Raw) -> dict[str, str]:
    obj = {
        "apiVersion": "projectcalico.org/v3",
        "kind": kind,
        "metadata": {"name": "default"},
        "spec": spec,
    }
    return {problem.field: problem.message for problem in validate(obj)}


V4, V6 = {"cidr": "10.244.0.0/16"}, {"cidr": "fd00:10:244::/56"}
LOAD_BALANCER = {"cidr": "198.51.100.0/24", "allowedUses": ["LoadBalancer"]}


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        pytest.param("IPPool", V4, id="v4"),
        pytest.param("IPPool", V6 | {"vxlanMode": "Always", "blockSize": 116}, id="v6-vxlan"),
        pytest.param("IPPool", V4 | {"ipipMode": "CrossSubnet", "vxlanMode": "Never"}, id="ipip"),
        pytest.param("IPPool", {"cidr": "10.0.0.0/26"}, id="one-block"),
        pytest.param("IPPool", {"cidr": "10.0.0.0/28", "disabled": True}, id="small-but-disabled"),
        pytest.param("IPPool", {"cidr": "10.0.0.0/32", "blockSize": 32}, id="one-address"),
        pytest.param(
            "IPPool",
            V4
            | {
                "natOutgoing": True,
                "disableBGPExport": False,
                "nodeSelector": "zone == 'a'",
                "namespaceSelector": "has(team)",
                "allowedUses": ["Workload"],
                "assignmentMode": "Manual",
            },
            id="all-fields",
        ),
        pytest.param("IPPool", LOAD_BALANCER | {"nodeSelector": " all( ) "}, id="load-balancer"),
        pytest.param("IPReservation", {"reservedCIDRs": ["10.0.0.1", "fd00::/64"]}, id="reserve"),
        pytest.param(
            "IPAMConfiguration",
            {"strictAffinity": True, "autoAllocateBlocks": False, "maxBlocksPerHost": 1_000_000},
            id="settings",
        ),
        pytest.param("IPAMConfiguration", {"maxBlocksPerHost": 0}, id="no-limit"),
    ],
)
def test_valid(kind: str, spec: Raw) -> None:
    assert {} == found(kind, spec)


@pytest.mark.parametrize(
    ("spec", "field", "part"),
    [
        pytest.param({}, "cidr", "required", id="no-cidr"),
        pytest.param({"cidr": ""}, "cidr", "not an IP address", id="empty-cidr"),
        pytest.param({"cidr": "10.244.0.0"}, "cidr", "10.244.0.0/32", id="address"),
        pytest.param({"cidr": "10.244.0.1/16"}, "cidr", "write 10.244.0.0/16", id="host-bits"),
        pytest.param({"cidr": "169.254.1.0/24"}, "cidr", "link-local", id="link-local"),
        pytest.param({"cidr": "fe80::/64"}, "cidr", "link-local", id="link-local-6"),
        pytest.param({"cidr": "10.0.0.0/27"}, "cidr", "blockSize: 27", id="smaller-than-block"),
        pytest.param(V4 | {"blockSize": 19}, "blockSize", "20 to 128", id="block-too-large"),
        pytest.param(V4 | {"blockSize": 33}, "blockSize", "20 to 32", id="block-of-other-family"),
        pytest.param(V6 | {"blockSize": 26}, "blockSize", "116 to 128", id="block-of-v4"),
        pytest.param(V4 | {"blockSize": "26"}, "blockSize", "without quotes", id="block-text"),
        pytest.param(V6 | {"ipipMode": "Always"}, "ipipMode", "IPv4 only", id="ipip-v6"),
        pytest.param(
            V4 | {"ipipMode": "Always", "vxlanMode": "Always"}, "vxlanMode", "Never", id="both"
        ),
        pytest.param(V4 | {"vxlanMode": "always"}, "vxlanMode", "did you mean Always?", id="case"),
        pytest.param(V4 | {"vxlanMode": ""}, "vxlanMode", "is empty", id="empty-mode"),
        pytest.param(V4 | {"nodeSelector": "a="}, "nodeSelector", "not a selector", id="selector"),
        pytest.param(V4 | {"natoutgoing": True}, "natoutgoing", "'natOutgoing'", id="field-case"),
        pytest.param(
            V4 | {"allowedUses": ["Tunnel"], "namespaceSelector": "all()"},
            "namespaceSelector",
            "Tunnel",
            id="tunnel-in-namespaces",
        ),
        pytest.param(
            LOAD_BALANCER | {"allowedUses": ["LoadBalancer", "Workload"]},
            "allowedUses",
            "two pools",
            id="load-balancer-and-workload",
        ),
        pytest.param(
            LOAD_BALANCER | {"vxlanMode": "Always"}, "vxlanMode", "Never", id="load-balancer-vxlan"
        ),
        pytest.param(
            LOAD_BALANCER | {"disableBGPExport": True},
            "disableBGPExport",
            "must be false",
            id="load-balancer-bgp",
        ),
        pytest.param(
            LOAD_BALANCER | {"nodeSelector": "has(a)"}, "nodeSelector", "all()", id="lb-nodes"
        ),
    ],
)
def test_refused_pool(spec: Raw, field: str, part: str) -> None:
    problems = found("IPPool", spec)

    assert [f"spec.{field}"] == list(problems)
    assert part in problems[f"spec.{field}"]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        pytest.param({"autoAllocateBlocks": False}, "autoAllocateBlocks", id="no-blocks-at-all"),
        pytest.param({"maxBlocksPerHost": 4}, "maxBlocksPerHost", id="limit-needs-strict"),
        pytest.param({"maxBlocksPerHost": 1_000_001}, "maxBlocksPerHost", id="limit-too-high"),
        pytest.param({"ipCooldownSeconds": 1201}, "ipCooldownSeconds", id="cooldown"),
        pytest.param(
            {"kubeVirtVMAddressPersistence": "On"}, "kubeVirtVMAddressPersistence", id="x"
        ),
    ],
)
def test_refused_settings(spec: Raw, field: str) -> None:
    assert [f"spec.{field}"] == list(found("IPAMConfiguration", spec))
