"""Metadata of every kind, kinds that are not ours, and the form of problems."""

from __future__ import annotations

from typing import Any

import pytest

from chita.model.problem import Problem
from chita.model.validate.objects import validate

Raw = dict[str, Any]
V3 = "projectcalico.org/v3"


def found(obj: Raw) -> dict[str, str]:
    return {problem.field: problem.message for problem in validate(obj)}


def network_set(**metadata: Any) -> Raw:
    return {"apiVersion": V3, "kind": "GlobalNetworkSet", "metadata": {"name": "s", **metadata}}


@pytest.mark.parametrize(
    ("obj", "field", "part"),
    [
        pytest.param({"kind": "Pod", "metadata": {}}, "apiVersion", "missing", id="no-version"),
        pytest.param({"apiVersion": "v1", "kind": 1}, "kind", "missing", id="no-kind"),
        pytest.param({"apiVersion": "v1", "kind": "Pod"}, "metadata", "missing", id="no-metadata"),
        pytest.param(
            {"apiVersion": V3, "kind": "Tier", "metadata": []},
            "metadata",
            "not an object",
            id="list",
        ),
        pytest.param(
            {"apiVersion": V3, "kind": "Tier", "metadata": {}},
            "metadata.name",
            "missing",
            id="no-name",
        ),
        pytest.param(
            {"apiVersion": V3, "kind": "IPPool", "metadata": {"name": "p"}},
            "spec",
            "required",
            id="no-spec",
        ),
        pytest.param({**network_set(), "status": {}}, "status", "no field", id="unknown-top-field"),
        pytest.param(network_set(name="A"), "metadata.name", "for example 'a'", id="name"),
        pytest.param(
            network_set(name=5), "metadata.name", "write it in quotes: '5'", id="name-number"
        ),
        pytest.param(
            network_set(name="", generateName="A-"), "metadata.generateName", "'A-'", id="prefix"
        ),
        pytest.param(
            network_set(namespace="shop"),
            "metadata.namespace",
            "remove the field",
            id="cluster-scoped",
        ),
        pytest.param(
            network_set(lables={}), "metadata.lables", "did you mean 'labels'?", id="metadata-typo"
        ),
        pytest.param(
            network_set(labels=["a"]),
            "metadata.labels",
            "a list is not an object",
            id="labels-list",
        ),
        pytest.param(
            network_set(labels={"a": True}), "metadata.labels.a", "quotes: 'true'", id="label-bool"
        ),
        pytest.param(
            network_set(labels={"a": 1.5}), "metadata.labels.a", "quotes: '1.5'", id="label-number"
        ),
        pytest.param(
            network_set(labels={"a b": "c"}),
            "metadata.labels.a b",
            "not a label key",
            id="label-key",
        ),
        pytest.param(
            network_set(labels={"a": "b c"}),
            "metadata.labels.a",
            "not a label value",
            id="label-value",
        ),
        pytest.param(
            network_set(labels={1: "b"}),
            "metadata.labels.1",
            "write it in quotes",
            id="label-key-number",
        ),
        pytest.param(
            network_set(annotations={"a": "x" * 262144}),
            "metadata.annotations",
            "262145 bytes",
            id="annotations-size",
        ),
        pytest.param(
            network_set(annotations={"a b": ""}),
            "metadata.annotations.a b",
            "label key",
            id="annotation",
        ),
        pytest.param(
            network_set(labels={"projectcalico.org/namespace": "x"}),
            "metadata.labels.projectcalico.org/namespace",
            "reserved",
            id="reserved-label",
        ),
        pytest.param(
            {"apiVersion": V3, "kind": "IPAMConfiguration", "metadata": {"name": "mine"}},
            "metadata.name",
            "named default",
            id="singleton",
        ),
        pytest.param(
            {"apiVersion": V3, "kind": "BGPConfiguration", "metadata": {"name": "mine"}},
            "metadata.name",
            "node.",
            id="bgp-configuration",
        ),
        pytest.param(
            {
                "apiVersion": V3,
                "kind": "NetworkPolicy",
                "metadata": {"name": "a", "namespace": "A"},
                "spec": {},
            },
            "metadata.namespace",
            "DNS label",
            id="namespace",
        ),
        pytest.param(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a.b"}},
            "metadata.name",
            "DNS label",
            id="namespace-name",
        ),
        pytest.param(
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "1a"}},
            "metadata.name",
            "start with a letter",
            id="service-name",
        ),
        pytest.param(
            {
                "apiVersion": "chita.dev/v1alpha1",
                "kind": "Location",
                "metadata": {"name": "a"},
                "spec": "x",
            },
            "spec",
            "not an object",
            id="chita-spec",
        ),
        pytest.param(
            {"apiVersion": "projectcalico.org/v1", "kind": "Tier"},
            "apiVersion",
            "write projectcalico.org/v3",
            id="old-version",
        ),
        pytest.param(
            {"apiVersion": "crd.projectcalico.org/v2", "kind": "IPPool"},
            "apiVersion",
            "write projectcalico.org/v3",
            id="crd-group",
        ),
        pytest.param(
            {"apiVersion": "extensions/v1beta1", "kind": "NetworkPolicy"},
            "apiVersion",
            "write networking.k8s.io/v1",
            id="extensions",
        ),
        pytest.param(
            {"apiVersion": "chita.dev/v1alpha1", "kind": "Router"},
            "kind",
            "there are FabricConfiguration",
            id="unknown-kind-of-ours",
        ),
        pytest.param(
            {"apiVersion": "v1", "kind": "NetworkPolicy"},
            "apiVersion",
            "networking.k8s.io/v1",
            id="group-forgotten",
        ),
        pytest.param(
            {"apiVersion": V3, "kind": "NetworkPolcy"},
            "kind",
            "did you mean NetworkPolicy?",
            id="kind-typo",
        ),
        pytest.param(
            {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicys"},
            "kind",
            "did you mean NetworkPolicy?",
            id="kubernetes-kind-typo",
        ),
        pytest.param(
            {"apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "AdminNetworkPolicy"},
            "apiVersion",
            "write policy.networking.k8s.io/v1alpha1",
            id="replaced-kind",
        ),
        pytest.param(
            {
                "apiVersion": V3,
                "kind": "Profile",
                "metadata": {"name": "kns.shop"},
            },
            "metadata.name",
            "namespace",
            id="profile-of-a-namespace",
        ),
    ],
)
def test_refused(obj: Raw, field: str, part: str) -> None:
    problems = found(obj)

    assert [field] == list(problems)
    assert part in problems[field]


@pytest.mark.parametrize(
    "obj",
    [
        pytest.param(network_set(labels={"a": ""}, annotations={"B.C/d": "é"}), id="labels"),
        pytest.param(
            network_set(creationTimestamp=None, uid="x", resourceVersion="1", managedFields=[{}]),
            id="as-kubectl-prints-it",
        ),
        pytest.param(
            {
                "apiVersion": V3,
                "kind": "NetworkPolicy",
                "metadata": {"generateName": "a-"},
                "spec": {},
            },
            id="generated-name",
        ),
        pytest.param({"apiVersion": "apps/v1", "kind": "Deployment", "spec": 1}, id="other-group"),
        pytest.param(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}, id="other-kind"
        ),
        pytest.param(
            {"apiVersion": "serving.knative.dev/v1", "kind": "Service"}, id="same-kind-elsewhere"
        ),
        pytest.param({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress"}, id="ingress"),
        pytest.param(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "a", "namespace": "b", "x": 1},
                "spec": {
                    "nodeName": "n1",
                    "tolerations": [],
                    "containers": [
                        {
                            "name": "c",
                            "image": "i",
                            "ports": [{"containerPort": 80, "name": "http"}],
                        },
                    ],
                },
                "status": {"phase": "Running", "podIPs": [{"ip": "10.244.0.1"}]},
            },
            id="pod",
        ),
        pytest.param(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "web"},
                "spec": {"clusterIP": "None", "ports": [{"port": 80, "targetPort": "http"}]},
            },
            id="service",
        ),
        pytest.param(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {"name": "web-1"},
                "addressType": "IPv4",
                "endpoints": None,
            },
            id="empty-slice",
        ),
        pytest.param(
            {
                "apiVersion": "crd.projectcalico.org/v1",
                "kind": "IPAMConfig",
                "metadata": {"name": "default"},
                "spec": {"strictAffinity": False, "autoAllocateBlocks": True},
            },
            id="crd-kind-of-another-name",
        ),
        pytest.param(
            {
                "apiVersion": "crd.projectcalico.org/v1",
                "kind": "BlockAffinity",
                "metadata": {"name": "n-10-0-0-0-26"},
                "spec": {
                    "cidr": "10.0.0.0/26",
                    "node": "n",
                    "state": "confirmed",
                    "deleted": "false",
                },
            },
            id="crd-affinity-with-text",
        ),
        pytest.param(
            {
                "apiVersion": V3,
                "kind": "BGPConfiguration",
                "metadata": {"name": "node.n1"},
                "spec": {"asNumber": "64512.1"},
            },
            id="bgp-of-a-node",
        ),
    ],
)
def test_valid(obj: Raw) -> None:
    assert {} == found(obj)


@pytest.mark.parametrize(
    ("kind", "spec", "field"),
    [
        pytest.param(
            "Pod",
            {"containers": [{"ports": [{"containerPort": 0}]}]},
            "spec.containers[0].ports[0].containerPort",
            id="port",
        ),
        pytest.param(
            "Pod",
            {"containers": [{"ports": [{"containerPort": 1, "protocol": "tcp"}]}]},
            "spec.containers[0].ports[0].protocol",
            id="protocol",
        ),
        pytest.param("Pod", {"hostNetwork": "true"}, "spec.hostNetwork", id="host-network"),
        pytest.param(
            "Service",
            {"ports": [{"port": 80, "targetPort": "80"}]},
            "spec.ports[0].targetPort",
            id="target-port",
        ),
        pytest.param("Service", {"selector": {"a": 1}}, "spec.selector.a", id="selector"),
        pytest.param("Node", {"podCIDRs": ["10.244.0.0"]}, "spec.podCIDRs[0]", id="pod-cidr"),
    ],
)
def test_kubernetes_kinds_are_checked_where_they_matter(kind: str, spec: Raw, field: str) -> None:
    obj = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}, "spec": spec}

    assert [field] == list(found(obj))


@pytest.mark.parametrize(
    ("kind", "spec", "fields"),
    [
        pytest.param("FabricConfiguration", {"encryption": "All", "vxlanVNI": 4096}, [], id="set"),
        pytest.param("FabricConfiguration", {"encrypt": "All"}, ["encrypt"], id="typo"),
        pytest.param("FabricConfiguration", {"encryption": "all"}, ["encryption"], id="case"),
        pytest.param("FabricConfiguration", {"meshCIDRs": []}, ["meshCIDRs"], id="no-mesh"),
        pytest.param("Location", {"encapsulation": "CrossSubnet", "wireMTU": 1400}, [], id="place"),
        pytest.param("Location", {"mtu": 1400}, ["mtu"], id="mtu"),
        pytest.param("FabricNode", {"gatewayWeight": 1, "later": 1}, ["location"], id="node"),
        pytest.param("Underlay", {"provider": "aws"}, [], id="underlay"),
    ],
)
def test_chita_kinds(kind: str, spec: Raw, fields: list[str]) -> None:
    obj = {
        "apiVersion": "chita.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": "default"},
        "spec": spec,
    }

    assert [f"spec.{field}" for field in fields] == list(found(obj))


def test_felix_configuration_may_have_fields_that_mean_nothing_here() -> None:
    spec = {"bpfEnabled": False, "vxlanPort": 4789, "defaultEndpointToHostAction": "accept"}
    obj = {
        "apiVersion": V3,
        "kind": "FelixConfiguration",
        "metadata": {"name": "default"},
        "spec": spec,
    }

    assert ["spec.defaultEndpointToHostAction"] == list(found(obj))


def test_a_list_is_as_valid_as_its_items() -> None:
    items = [network_set(), network_set(name="A"), "text"]

    problems = found({"apiVersion": "v1", "kind": "List", "items": items})

    assert ["items[1].metadata.name", "items[2]"] == list(problems)


def test_a_problem_reads_as_a_line() -> None:
    assert "spec.order: is wrong" == str(Problem("spec.order", "is wrong"))
    assert "is wrong" == str(Problem("", "is wrong"))
