"""What is valid and has no effect, or another one, is told; nothing else is."""

from __future__ import annotations

from typing import Any

import pytest

from chita.convert.fabric import FELIX_FIELDS
from chita.model.schemas.felix import USED_FIELDS
from chita.model.validate.objects import validate
from chita.model.validate.warnings import warnings

Raw = dict[str, Any]
V3 = "projectcalico.org/v3"
V1ALPHA1 = "policy.networking.k8s.io/v1alpha1"
SUBJECT: Raw = {"subject": {"namespaces": {}}}
AFFINITY = {"cidr": "10.0.0.0/26", "node": "n", "state": "confirmed"}


def obj(kind: str, spec: Raw, *, version: str = V3, name: str = "default") -> Raw:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param(obj("NetworkPolicy", {"ingress": [{"action": "Allow"}]}), [], id="policy"),
        pytest.param(
            obj("NetworkPolicy", {"types": ["Egress"], "ingress": [{"action": "Allow"}]}),
            ["spec.ingress"],
            id="rules-of-another-direction",
        ),
        pytest.param(
            obj(
                "GlobalNetworkPolicy",
                {
                    "ingress": [
                        {"action": "Allow"},
                        {"action": "Allow", "http": {"methods": ["GET"]}},
                    ]
                },
            ),
            ["spec.ingress[1].http"],
            id="http",
        ),
        pytest.param(
            obj("NetworkPolicy", {"performanceHints": ["AssumeNeededOnEveryNode"]}),
            ["spec.performanceHints"],
            id="hints",
        ),
        pytest.param(
            obj("GlobalNetworkPolicy", {"doNotTrack": True, "applyOnForward": True}),
            [],
            id="untracked",
        ),
        pytest.param(obj("HostEndpoint", {"node": "n", "interfaceName": "eth0"}), [], id="host"),
        pytest.param(
            obj(
                "KubeControllersConfiguration",
                {
                    "healthChecks": "Enabled",
                    "controllers": {
                        "policy": {},
                        "node": {"syncLabels": "Enabled", "hostEndpoint": {}},
                    },
                },
            ),
            [
                "spec.healthChecks",
                "spec.controllers.policy",
                "spec.controllers.node.syncLabels",
            ],
            id="controllers",
        ),
        pytest.param(
            obj("IPPool", {"cidr": "10.0.0.0/16", "ipipMode": "CrossSubnet"}),
            ["spec.ipipMode"],
            id="ipip",
        ),
        pytest.param(obj("IPPool", {"cidr": "10.0.0.0/16", "ipipMode": "Never"}), [], id="pool"),
        pytest.param(
            obj("IPPool", {"cidr": "10.0.0.0/16"}, version="crd.projectcalico.org/v1"),
            ["apiVersion"],
            id="crd-spelling",
        ),
        pytest.param(
            obj("BlockAffinity", AFFINITY, version="crd.projectcalico.org/v1"),
            ["apiVersion"],
            id="crd-state",
        ),
        pytest.param(
            obj("FelixConfiguration", {"vxlanPort": 4789, "bpfEnabled": True, "logPrefix": "x"}),
            ["spec.bpfEnabled"],
            id="felix",
        ),
        pytest.param(
            obj("FelixConfiguration", {"bpfEnabled": True}, name="node.a"),
            ["metadata.name"],
            id="felix-of-a-node",
        ),
        pytest.param(obj("BGPPeer", {"peerIP": "192.0.2.1"}), ["kind"], id="bgp"),
        pytest.param(
            obj("AdminNetworkPolicy", {"priority": 1, **SUBJECT}, version=V1ALPHA1),
            ["apiVersion"],
            id="admin",
        ),
        pytest.param(
            obj("BaselineAdminNetworkPolicy", SUBJECT, version=V1ALPHA1),
            ["apiVersion"],
            id="baseline",
        ),
        pytest.param(
            {
                "apiVersion": "v1",
                "kind": "List",
                "items": [obj("Tier", {"order": 1.0}, name="a"), obj("BGPPeer", {})],
            },
            ["items[1].kind"],
            id="list",
        ),
    ],
)
def test_told(written: Raw, expected: list[str]) -> None:
    assert [] == validate(written)
    assert expected == [warning.field for warning in warnings(written)]


def test_the_settings_told_as_used_are_those_that_are_read() -> None:
    assert frozenset(FELIX_FIELDS) == USED_FIELDS


@pytest.mark.parametrize(
    "written", [None, [], {}, {"kind": "Tier"}, {"apiVersion": V3, "kind": "BGPPeer", "spec": 1}]
)
def test_anything_may_be_asked_about(written: Any) -> None:
    assert warnings(written) == [] or written["kind"] == "BGPPeer"
