"""What is printed is valid v3, and what is not valid is refused by name and widens nothing.

Objects are drawn from the schemas, wrong values among them, as in
``tests/unit/model/validate/test_meaning.py``.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chita.convert.admin_network_policy import (
    admin_network_policy,
    baseline_admin_network_policy,
)
from chita.convert.cluster_network_policy import cluster_network_policy
from chita.convert.entities import conversion
from chita.convert.network_policy import network_policy
from chita.model.policy import Action, Policy
from chita.model.validate.objects import validate

Raw = dict[str, Any]
V3 = "projectcalico.org/v3"

_MEANING = Path(__file__).parents[1] / "model/validate/test_meaning.py"
_spec = importlib.util.spec_from_file_location("meaning", _MEANING)
assert _spec is not None
assert _spec.loader is not None
meaning = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(meaning)

_KUBERNETES: Final = {
    ("networking.k8s.io/v1", "NetworkPolicy"): network_policy,
    ("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy"): cluster_network_policy,
    ("policy.networking.k8s.io/v1alpha1", "AdminNetworkPolicy"): admin_network_policy,
    ("policy.networking.k8s.io/v1alpha1", "BaselineAdminNetworkPolicy"): (
        baseline_admin_network_policy
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("key", [pytest.param(key, id=key[1]) for key in _KUBERNETES])
@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=150)
@given(data=st.data())
def test_what_is_printed_is_valid(key: tuple[str, str], data: st.DataObject) -> None:
    """Of right and wrong Kubernetes policies alike; a wrong one also says what is wrong."""
    obj = data.draw(meaning.objects(*key, 2))
    answer = _KUBERNETES[key](obj)

    if answer.policy is not None:
        assert [] == validate(answer.policy)
    if answer.problems:
        assert [] != validate(obj)


def rule(kind: str, direction: str, **parts: Any) -> tuple[Policy, list[str]]:
    metadata = {"name": "p", **({"namespace": "shop"} if kind == "NetworkPolicy" else {})}
    obj = {"apiVersion": V3, "kind": kind, "metadata": metadata, "spec": {direction: [parts]}}
    assert [] != validate(obj)
    answer = conversion(obj)
    (policy,) = answer.entities
    assert isinstance(policy, Policy)
    return policy, [problem.field for problem in answer.problems]


SERVICE = {"services": {"name": "s", "namespace": "d"}}
GET = {"methods": ["GET"]}


@pytest.mark.parametrize(
    ("direction", "parts", "field"),
    [
        pytest.param("ingress", {"http": GET, "protocol": "UDP"}, "http", id="http-of-udp"),
        pytest.param(
            "ingress",
            {"protocol": "ICMP", "destination": {"notPorts": ["http"]}},
            "destination.notPorts[0]",
            id="port-name-of-icmp",
        ),
        pytest.param(
            "ingress",
            {"protocol": "TCP", "destination": {"notPorts": ["80-90"]}},
            "destination.notPorts[0]",
            id="no-port-name",
        ),
        pytest.param("ingress", {"metadata": {"x": "y"}}, "metadata.x", id="metadata"),
        pytest.param(
            "ingress",
            {"source": {"serviceAccounts": {"names": [""]}}},
            "source.serviceAccounts.names[0]",
            id="no-account",
        ),
        pytest.param("egress", {"http": GET}, "http", id="http-out"),
        pytest.param("ingress", {"destination": SERVICE}, "destination.services", id="service-in"),
        pytest.param("egress", {"source": SERVICE}, "source.services", id="service-out"),
        pytest.param(
            "ingress",
            {"source": {**SERVICE, "selector": "a == 'b'"}},
            "source.selector",
            id="service-and-selector",
        ),
        pytest.param(
            "egress",
            {"protocol": "TCP", "destination": {**SERVICE, "ports": [80]}},
            "destination.ports",
            id="service-and-port",
        ),
        pytest.param("ingress", {"source": {"selector": "a="}}, "source.selector", id="selector"),
        pytest.param("ingress", {"source": {"nets": ["x"]}}, "source.nets[0]", id="network"),
        pytest.param("ingress", {"sauce": {}}, "sauce", id="unknown-field"),
        pytest.param(
            "ingress",
            {"source": {"notNets": ["10.0.0.0/8", "::/0"]}},
            "source.notNets[1]",
            id="nothing-left",
        ),
        pytest.param("ingress", {"protocol": "tcp6"}, "protocol", id="protocol"),
        pytest.param("ingress", {"ipVersion": 5}, "ipVersion", id="version"),
        pytest.param("egress", {"destination": {"ports": [80]}}, "destination.ports[0]", id="port"),
    ],
)
@pytest.mark.parametrize(
    ("action", "expected"),
    [
        pytest.param("Allow", [], id="allow"),
        pytest.param("Log", [], id="log"),
        pytest.param("Deny", [Action.DENY], id="deny"),
        pytest.param("Pass", [Action.DENY], id="pass"),
    ],
)
def test_a_bad_rule_is_named_and_lets_nothing_more_through(
    direction: str, parts: Raw, field: str, action: str, expected: list[Action]
) -> None:
    """One that allows is gone; one that denies or passes denies everything."""
    policy, fields = rule("NetworkPolicy", direction, action=action, **parts)
    left = policy.ingress if direction == "ingress" else policy.egress

    assert [f"spec.{direction}[0].{field}"] == fields
    assert expected == [each.action for each in left]
    assert all(each.source == each.destination for each in left)


@pytest.mark.parametrize(
    ("http", "field"),
    [
        pytest.param({"methods": [None]}, "methods[0]", id="method"),
        pytest.param({"paths": [{"exact": "a"}]}, "paths[0]", id="path"),
        pytest.param({"paths": [{"exact": "/a", "prefix": "/b"}]}, "paths[0]", id="both"),
        pytest.param({"hosts": ["a"]}, "hosts", id="unknown"),
    ],
)
def test_bad_http(http: Raw, field: str) -> None:
    policy, fields = rule("NetworkPolicy", "ingress", action="Allow", protocol="TCP", http=http)

    assert [f"spec.ingress[0].http.{field}"] == fields
    assert () == policy.ingress


@pytest.mark.parametrize("action", ["Deny", "Pass"])
def test_a_deny_by_http_denies_all(action: str) -> None:
    """HTTP is not read yet, so a rule that denies by it would deny nothing at all."""
    policy, fields = rule("NetworkPolicy", "ingress", action=action, http=GET)

    assert ["spec.ingress[0].http"] == fields
    assert [Action.DENY] == [each.action for each in policy.ingress]
    assert policy.ingress[0].http is None


_BENIGN = re.compile(r"is already at|contradicts notProtocol|is not a DNS name|is not a text")
"""Mistakes that change nothing of what a rule matches: something twice, a name nobody can have."""
_RULE = re.compile(r"spec\.(?:ingress|egress)\[\d+\]")


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    ["NetworkPolicy", "GlobalNetworkPolicy", "StagedNetworkPolicy", "StagedGlobalNetworkPolicy"],
)
@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=250)
@given(data=st.data())
def test_a_refused_rule_is_not_enforced_as_written(kind: str, data: st.DataObject) -> None:
    """Where an object comes past validation, conversion finds the same rules wrong."""
    obj = data.draw(meaning.objects(V3, kind, 3))
    refused = {
        path[0]
        for problem in validate(obj)
        if (path := _RULE.match(problem.field)) and not _BENIGN.search(problem.message)
    }
    answer = conversion(obj)
    named = {path[0] for problem in answer.problems if (path := _RULE.match(problem.field))}

    assert not answer.entities or refused <= named
