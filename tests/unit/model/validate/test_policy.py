"""Policies of ``projectcalico.org/v3``: what is refused, where, and what is not."""

from __future__ import annotations

from typing import Any

import pytest

from chita.model.validate.objects import validate

Raw = dict[str, Any]


def policy(kind: str, **spec: Any) -> Raw:
    metadata = {"name": "p"} if "Global" in kind else {"name": "p", "namespace": "shop"}
    return {
        "apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": metadata, "spec": spec,
    }  # fmt: skip


def found(obj: Raw) -> dict[str, str]:
    return {problem.field: problem.message for problem in validate(obj)}


GNP = "GlobalNetworkPolicy"


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        pytest.param("NetworkPolicy", {}, id="empty-spec"),
        pytest.param(
            "NetworkPolicy",
            {
                "tier": "platform",
                "order": -1.5,
                "selector": "app == 'web' && !has(canary)",
                "serviceAccountSelector": "all()",
                "types": ["Egress", "Ingress"],
                "performanceHints": ["AssumeNeededOnEveryNode"],
            },
            id="all-fields",
        ),
        pytest.param(
            GNP,
            {
                "namespaceSelector": "all()",
                "doNotTrack": True,
                "preDNAT": False,
                "applyOnForward": True,
            },
            id="global-fields",
        ),
        pytest.param(
            GNP, {"preDNAT": True, "applyOnForward": True, "types": ["Ingress"]}, id="pre-dnat"
        ),
        pytest.param("NetworkPolicy", {"order": None, "ingress": None}, id="null-is-absent"),
        pytest.param("NetworkPolicy", {"tier": "", "selector": ""}, id="empty-text-is-absent"),
        pytest.param("StagedNetworkPolicy", {"stagedAction": "Set", "order": 1}, id="staged"),
        pytest.param(
            "StagedNetworkPolicy",
            {"stagedAction": "Delete", "tier": "t", "selector": "", "ingress": []},
            id="staged-delete",
        ),
        pytest.param("StagedGlobalNetworkPolicy", {"stagedAction": "Ignore"}, id="staged-global"),
        pytest.param(
            "StagedKubernetesNetworkPolicy",
            {"stagedAction": "Set", "podSelector": {}, "policyTypes": ["Egress"]},
            id="staged-kubernetes",
        ),
        pytest.param(
            "StagedKubernetesNetworkPolicy", {"stagedAction": "Delete"}, id="staged-k8s-delete"
        ),
    ],
)
def test_valid_spec(kind: str, spec: Raw) -> None:
    assert {} == found(policy(kind, **spec))


@pytest.mark.parametrize(
    ("kind", "spec", "field", "part"),
    [
        pytest.param("NetworkPolicy", {"tier": "a.b"}, "spec.tier", "DNS label", id="tier-dot"),
        pytest.param("NetworkPolicy", {"order": "1"}, "spec.order", "not a number", id="order"),
        pytest.param("NetworkPolicy", {"order": True}, "spec.order", "not a number", id="bool"),
        pytest.param(
            "NetworkPolicy", {"order": float("nan")}, "spec.order", "finite", id="order-nan"
        ),
        pytest.param(
            "NetworkPolicy", {"selector": "a = 'b'"}, "spec.selector", "character 3", id="selector"
        ),
        pytest.param(
            "NetworkPolicy", {"selector": "x" * 1025}, "spec.selector", "more than 1024", id="long"
        ),
        pytest.param(
            GNP, {"selector": "a == 'b' || global()"}, "spec.selector", "global()", id="global"
        ),
        pytest.param(
            GNP,
            {"namespaceSelector": "global()"},
            "spec.namespaceSelector",
            "global()",
            id="global-namespaces",
        ),
        pytest.param(
            GNP,
            {"serviceAccountSelector": "!global()"},
            "spec.serviceAccountSelector",
            "global()",
            id="global-accounts",
        ),
        pytest.param("NetworkPolicy", {"types": []}, "spec.types", "at least 1", id="types-empty"),
        pytest.param(
            "NetworkPolicy",
            {"types": ["Ingress", "Ingress"]},
            "spec.types[1]",
            "already at [0]",
            id="types-twice",
        ),
        pytest.param(
            "NetworkPolicy",
            {"types": ["ingress"]},
            "spec.types[0]",
            "did you mean Ingress?",
            id="types-case",
        ),
        pytest.param(
            "NetworkPolicy",
            {"performanceHints": ["Fast"]},
            "spec.performanceHints[0]",
            "AssumeNeededOnEveryNode",
            id="hint",
        ),
        pytest.param(
            "NetworkPolicy",
            {"namespaceSelector": "all()"},
            "spec.namespaceSelector",
            "only a GlobalNetworkPolicy",
            id="field-of-another-kind",
        ),
        pytest.param(
            "NetworkPolicy", {"ingres": []}, "spec.ingres", "did you mean 'ingress'?", id="typo"
        ),
        pytest.param(
            "NetworkPolicy", {"podSelector": {}}, "spec.podSelector", "write selector", id="k8s"
        ),
        pytest.param(
            "NetworkPolicy",
            {"ingress": {"action": "Allow"}},
            "spec.ingress",
            "not a list",
            id="rule-without-list",
        ),
        pytest.param(
            "NetworkPolicy",
            {"ingress": [{"action": "Allow"}] * 1025},
            "spec.ingress",
            "more than 1024",
            id="too-many-rules",
        ),
        pytest.param(
            "NetworkPolicy", {"egress": [None]}, "spec.egress[0]", "is empty", id="null-rule"
        ),
        pytest.param(
            GNP,
            {"preDNAT": True, "doNotTrack": True, "applyOnForward": True},
            "spec.doNotTrack",
            "preDNAT",
            id="pre-dnat-and-untracked",
        ),
        pytest.param(
            GNP,
            {"preDNAT": True, "applyOnForward": True, "egress": [{"action": "Deny"}]},
            "spec.egress",
            "ingress rules only",
            id="pre-dnat-egress",
        ),
        pytest.param(
            GNP,
            {"preDNAT": True, "applyOnForward": True, "types": ["Egress"]},
            "spec.types",
            "Ingress only",
            id="pre-dnat-types",
        ),
        pytest.param(
            GNP, {"preDNAT": True}, "spec.applyOnForward", "preDNAT", id="pre-dnat-forward"
        ),
        pytest.param(
            GNP,
            {"doNotTrack": True, "applyOnForward": False},
            "spec.applyOnForward",
            "doNotTrack",
            id="untracked-forward",
        ),
        pytest.param(GNP, {"doNotTrack": "yes"}, "spec.doNotTrack", "true or false", id="flag"),
        pytest.param(
            "StagedNetworkPolicy",
            {"stagedAction": "Remove"},
            "spec.stagedAction",
            "Learn",
            id="staged-action",
        ),
        pytest.param(
            "StagedNetworkPolicy",
            {"stagedAction": "Delete", "order": 1},
            "spec.order",
            "stagedAction is Delete",
            id="staged-delete-with-spec",
        ),
        pytest.param(
            "StagedNetworkPolicy",
            {"stagedAction": "Delete", "order": 0},
            "spec.order",
            "stagedAction is Delete",
            id="staged-delete-with-order-zero",
        ),
        pytest.param(
            "StagedKubernetesNetworkPolicy",
            {"stagedAction": "Delete", "ingress": [{}]},
            "spec.ingress",
            "stagedAction is Delete",
            id="staged-k8s-delete-with-spec",
        ),
    ],
)
def test_refused_spec(kind: str, spec: Raw, field: str, part: str) -> None:
    problems = found(policy(kind, **spec))

    assert [field] == list(problems)
    assert part in problems[field]


def test_all_mistakes_are_told_at_once() -> None:
    """A rule with a wrong structure hides neither other rules nor the rest of the spec."""
    problems = found(
        policy(
            GNP,
            order="first",
            ingress=[{"action": "allow"}, {"action": "Allow", "destination": {"ports": [80]}}],
        )
    )

    assert {
        "spec.order", "spec.ingress[0].action", "spec.ingress[1].destination.ports[0]",
    } == problems.keys()  # fmt: skip


@pytest.mark.parametrize(
    ("name", "spec", "fields"),
    [
        pytest.param("security", {"order": 100, "defaultAction": "Pass"}, [], id="own"),
        pytest.param("default", {"order": 1_000_000.0, "defaultAction": "Deny"}, [], id="default"),
        pytest.param("default", None, [], id="default-as-is"),
        pytest.param("default", {"order": 999}, ["spec.order"], id="default-order"),
        pytest.param(
            "default", {"defaultAction": "Pass"}, ["spec.defaultAction"], id="default-action"
        ),
        pytest.param(
            "kube-admin",
            {"order": 1, "defaultAction": "Deny"},
            ["spec.order", "spec.defaultAction"],
            id="admin",
        ),
        pytest.param("kube-baseline", {"order": 10_000_000}, [], id="baseline"),
        pytest.param("a", {"defaultAction": "Allow"}, ["spec.defaultAction"], id="allow"),
        pytest.param("a.b", {}, ["metadata.name"], id="name-with-dot"),
    ],
)
def test_tier(name: str, spec: Raw | None, fields: list[str]) -> None:
    obj = {
        "apiVersion": "projectcalico.org/v3", "kind": "Tier", "metadata": {"name": name},
        "spec": spec,
    }  # fmt: skip

    assert fields == [problem.field for problem in validate(obj)]


def test_profile_has_rules() -> None:
    obj = {
        "apiVersion": "projectcalico.org/v3",
        "kind": "Profile",
        "metadata": {"name": "allowing"},
        "spec": {"labelsToApply": {"pcns.a": "b"}, "egress": [{"action": "Allow", "icmp": {}}]},
    }

    assert ["spec.egress[0].icmp"] == list(found(obj))
