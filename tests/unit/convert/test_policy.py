"""Policies of the v3 API mean one thing in the model, whatever kind they come from."""

from __future__ import annotations

from typing import Any

import pytest

from chita.convert.entities import changes, conversion, entities, keys
from chita.errors import ConvertError
from chita.model.cluster import Put, Remove
from chita.model.net import ICMP, TCP, UDP, Cidr, PortRange
from chita.model.policy import (
    Action,
    Direction,
    HttpMatch,
    HttpPath,
    IcmpMatch,
    Policy,
    Rule,
    ServiceRef,
    StagedAction,
)
from chita.model.selector import canonical

NP, GNP = "NetworkPolicy", "GlobalNetworkPolicy"


def obj(kind: str = GNP, /, **spec: Any) -> dict[str, Any]:
    metadata = {"name": "p"}
    if kind in {NP, "StagedNetworkPolicy", "StagedKubernetesNetworkPolicy"}:
        metadata["namespace"] = "shop"
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": kind,
        "metadata": metadata,
        "spec": spec,
    }


def policy(kind: str = GNP, /, **spec: Any) -> Policy:
    (found,) = entities(obj(kind, **spec))
    assert isinstance(found, Policy)
    return found


def rule(kind: str = GNP, /, **fields: Any) -> Rule:
    (found,) = policy(kind, ingress=[{"action": "Allow", **fields}]).ingress
    return found


def text(selector: Any) -> str | None:
    return None if selector is None else canonical(selector)


SHOP = 'projectcalico.org/namespace == "shop"'


@pytest.mark.parametrize(
    ("kind", "spec", "expected"),
    [
        pytest.param(GNP, {}, "all()", id="gnp-selects-everything"),
        pytest.param(GNP, {"selector": "a == 'b'"}, 'a == "b"', id="gnp"),
        pytest.param(
            GNP,
            {"namespaceSelector": "all()"},
            "has(projectcalico.org/namespace)",
            id="gnp-any-namespace",
        ),
        pytest.param(
            GNP,
            {"selector": "a == 'b'", "namespaceSelector": "t in {'x'}"},
            '(a == "b" && pcns.t in {"x"})',
            id="gnp-namespaces",
        ),
        pytest.param(
            GNP,
            {"namespaceSelector": "!has(t)"},
            "(has(projectcalico.org/namespace) && !has(pcns.t))",
            id="gnp-namespaces-never-hosts",
        ),
        pytest.param(
            GNP,
            {"serviceAccountSelector": "all()"},
            "has(projectcalico.org/serviceaccount)",
            id="gnp-any-service-account",
        ),
        pytest.param(
            GNP,
            {"serviceAccountSelector": "role == 'db' || !has(x)"},
            '(has(projectcalico.org/serviceaccount) && (pcsa.role == "db" || !has(pcsa.x)))',
            id="gnp-service-accounts",
        ),
        pytest.param(NP, {}, SHOP, id="np-own-namespace"),
        pytest.param(NP, {"selector": "a == 'b'"}, f'(a == "b" && {SHOP})', id="np"),
        pytest.param(
            NP,
            {"selector": "all()", "serviceAccountSelector": "r == 's'"},
            f'((all() && {SHOP}) && pcsa.r == "s")',
            id="np-service-accounts",
        ),
    ],
)
def test_selector(kind: str, spec: dict[str, Any], expected: str) -> None:
    """What a policy applies to: all its selectors in one (end of calico 2.13)."""
    assert expected == canonical(policy(kind, **spec).selector)


@pytest.mark.parametrize(
    ("kind", "source", "expected"),
    [
        pytest.param(GNP, {}, (None, None), id="gnp-anything"),
        pytest.param(GNP, {"selector": "a == 'b'"}, ('a == "b"', None), id="gnp"),
        pytest.param(GNP, {"notSelector": "a == 'b'"}, (None, 'a == "b"'), id="gnp-negated-alone"),
        pytest.param(
            GNP,
            {"selector": "has(x)", "notSelector": "a == 'b'"},
            ('(has(x) && !a == "b")', None),
            id="gnp-both-are-one-set",
        ),
        pytest.param(
            GNP,
            {"selector": "has(x)", "notSelector": "!has(y)"},
            # (has(x)) && (!(!has(y))) in felix/calc/rule_scanner.go, printed by NotNode.
            ("(has(x) && !!has(y))", None),
            id="gnp-double-negation",
        ),
        pytest.param(
            GNP,
            {"namespaceSelector": "global()"},
            ("!has(projectcalico.org/namespace)", None),
            id="gnp-global",
        ),
        pytest.param(
            GNP,
            {"namespaceSelector": "all()", "selector": "a == 'b'"},
            ('(has(projectcalico.org/namespace) && a == "b")', None),
            id="gnp-any-namespace",
        ),
        pytest.param(
            GNP,
            {"serviceAccounts": {"names": ["b", "a"], "selector": "role == 'x'"}},
            ('(pcsa.role == "x" && projectcalico.org/serviceaccount in {"a", "b"})', None),
            id="gnp-service-accounts",
        ),
        pytest.param(
            GNP,
            {
                "serviceAccounts": {"names": ["a"]},
                "selector": "b == 'c'",
                "namespaceSelector": "d == 'e'",
            },
            (
                '(pcns.d == "e" && (projectcalico.org/serviceaccount in {"a"} && b == "c"))',
                None,
            ),
            id="gnp-all-of-it",
        ),
        pytest.param(NP, {}, (None, None), id="np-anything"),
        pytest.param(NP, {"nets": ["192.0.2.0/24"]}, (None, None), id="np-nets-not-narrowed"),
        pytest.param(NP, {"selector": "a == 'b'"}, (f'({SHOP} && a == "b")', None), id="np"),
        pytest.param(
            NP, {"notSelector": "a == 'b'"}, (f'({SHOP} && !a == "b")', None), id="np-negated-alone"
        ),
        pytest.param(
            NP,
            {"selector": "a == 'b'", "namespaceSelector": "t == 'u'"},
            ('(pcns.t == "u" && a == "b")', None),
            id="np-other-namespaces",
        ),
        pytest.param(
            NP,
            {"namespaceSelector": "all()"},
            ("has(projectcalico.org/namespace)", None),
            id="np-any-namespace",
        ),
        pytest.param(
            NP,
            {"serviceAccounts": {"names": ["a"]}},
            (f'({SHOP} && projectcalico.org/serviceaccount in {{"a"}})', None),
            id="np-service-accounts",
        ),
    ],
)
def test_rule_selectors(
    kind: str, source: dict[str, Any], expected: tuple[str | None, str | None]
) -> None:
    """All that narrows a side is one selector, shaped as Felix shapes it (calico 2.5, 2.13)."""
    found = rule(kind, source=source).source

    assert expected == (text(found.selector), text(found.not_selector))


def test_rule_fields() -> None:
    """Every other field of a rule arrives."""
    found = rule(
        protocol="TCP",
        notProtocol="UDP",
        source={"nets": ["192.0.2.0/24"], "notNets": ["192.0.2.8/29"], "notPorts": [22, "ssh"]},
        destination={"ports": [80, "8000:8100", "http"]},
        http={"methods": ["GET"], "paths": [{"exact": "/a"}, {"prefix": "/b"}]},
        metadata={"annotations": {"b": "2", "a": "1"}},
    )

    assert (TCP, UDP, 4) == (found.protocol, found.not_protocol, found.family)
    assert (Cidr.parse("192.0.2.0/24"),) == found.source.nets
    assert (Cidr.parse("192.0.2.8/29"),) == found.source.not_nets
    assert ((PortRange(22, 22),), ("ssh",)) == (
        found.source.not_ports,
        found.source.not_named_ports,
    )
    assert (PortRange(80, 80), PortRange(8000, 8100)) == found.destination.ports
    assert ("http",) == found.destination.named_ports
    assert HttpMatch(("GET",), (HttpPath("/a"), HttpPath("/b", is_prefix=True))) == found.http
    assert (("a", "1"), ("b", "2")) == found.annotations


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, None, id="both"),
        pytest.param({"ipVersion": 6}, 6, id="said"),
        pytest.param({"protocol": "ICMP"}, 4, id="icmp"),
        pytest.param({"protocol": 58}, 6, id="icmpv6-by-number"),
        pytest.param({"source": {"nets": ["2001:db8::/32"]}}, 6, id="nets"),
        pytest.param(
            {"source": {"notNets": ["192.0.2.0/24"]}}, None, id="negated-nets-say-nothing"
        ),
    ],
)
def test_family(fields: dict[str, Any], expected: int | None) -> None:
    """A rule that can match one IP version does not exist in the other, also if it denies."""
    assert expected == rule(**fields).family


def test_icmp() -> None:
    found = rule(protocol="ICMP", icmp={"type": 8, "code": 0}, notICMP={"type": 3})

    assert (IcmpMatch(8, 0), IcmpMatch(3, None)) == (found.icmp, found.not_icmp)
    assert found.protocol == ICMP


def test_services() -> None:
    """A NetworkPolicy means its own namespace; a global policy has to say which."""
    own = rule(NP, source={"services": {"name": "db"}})
    other = rule(NP, source={"services": {"name": "db", "namespace": "data"}})

    assert ServiceRef("shop", "db") == own.source.service
    assert ServiceRef("data", "db") == other.source.service


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        pytest.param({"protocol": "tcp"}, "protocol", id="protocol"),
        pytest.param({"destination": {"ports": [80]}}, "destination.ports[0]", id="no-protocol"),
        pytest.param(
            {"protocol": "UDPLite", "destination": {"ports": [80]}},
            "destination.ports[0]",
            id="protocol-without-ports",
        ),
        pytest.param({"protocol": "TCP", "source": {"ports": ["0"]}}, "source.ports[0]", id="zero"),
        pytest.param({"source": {"nets": ["192.0.2.1/24"]}}, "source.nets[0]", id="host-bits"),
        pytest.param({"source": {"nets": ["192.0.2.1"]}}, "source.nets[0]", id="bare-address"),
        pytest.param({"source": {"selector": "a =="}}, "source.selector", id="selector"),
        pytest.param(
            {"source": {"selector": "global()"}}, "source.selector", id="global-misplaced"
        ),
        pytest.param(
            {"source": {"namespaceSelector": "global() && a == 'b'"}},
            "source.namespaceSelector",
            id="global-not-alone",
        ),
        pytest.param({"source": {"selectr": "a == 'b'"}}, "source.selectr", id="misspelt"),
        pytest.param({"sorce": {}}, "sorce", id="misspelt-side"),
        pytest.param(
            {"source": {"services": {"name": "a"}}}, "source.services.namespace", id="service"
        ),
        pytest.param({"icmp": {"type": 8}}, "icmp", id="icmp-without-protocol"),
        pytest.param({"protocol": "ICMP", "icmp": {"code": 1}}, "icmp.code", id="code-alone"),
        pytest.param({"protocol": "ICMP", "icmp": {"type": 255}}, "icmp.type", id="icmp-255"),
        pytest.param({"ipVersion": 5}, "ipVersion", id="version"),
        pytest.param({"action": "allow"}, "action", id="action"),
    ],
)
@pytest.mark.parametrize("action", ["Allow", "Deny", "Pass", "Log"])
def test_rule_that_means_nothing_never_widens(
    fields: dict[str, Any], field: str, action: str
) -> None:
    """An Allow or Log is left out; anything else denies everything in its place."""
    good = {"action": "Allow", "protocol": 6}
    broken = {"action": action, **fields}
    found = conversion(obj(ingress=[broken, good]))
    (converted,) = found.entities
    assert isinstance(converted, Policy)
    (problem,) = found.problems
    closed = [] if broken["action"] in {"Allow", "Log"} else [Rule(action=Action.DENY)]

    assert [*closed, Rule(action=Action.ALLOW, protocol=6)] == list(converted.ingress)
    assert f"spec.ingress[0].{field}" == problem.field


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({}, "I", id="no-rules"),
        pytest.param({"ingress": [{"action": "Allow"}]}, "I", id="ingress"),
        pytest.param({"egress": [{"action": "Allow"}]}, "E", id="egress"),
        pytest.param(
            {"egress": [{"action": "Allow"}], "ingress": [{"action": "Deny"}]}, "EI", id="both"
        ),
        pytest.param({"types": ["Egress"], "ingress": [{"action": "Deny"}]}, "E", id="said"),
        pytest.param({"ingress": [{"action": "Allow", "nosuch": 1}]}, "I", id="rule-left-out"),
    ],
)
def test_types(spec: dict[str, Any], expected: str) -> None:
    """Inferred from the rules where the policy does not say (calico 2.3)."""
    found = policy(**spec).types

    assert {{"I": Direction.INGRESS, "E": Direction.EGRESS}[letter] for letter in expected} == found


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        pytest.param({"selector": "a = 'b'"}, "spec.selector", id="selector"),
        pytest.param({"selector": "global()"}, "spec.selector", id="global"),
        pytest.param({"order": "first"}, "spec.order", id="order"),
        pytest.param({"types": ["Both"]}, "spec.types[0]", id="types"),
        pytest.param({"selectors": "all()"}, "spec.selectors", id="misspelt"),
        pytest.param({"ingress": {}}, "spec.ingress", id="rules-not-a-list"),
    ],
)
def test_policy_that_means_nothing_is_absent(spec: dict[str, Any], field: str) -> None:
    """Its entity is removed, under the key it had (a bad object is an absent one)."""
    bad = obj(**spec)
    with pytest.raises(ConvertError) as caught:
        entities(bad)
    change, problems = changes(bad)

    assert field == caught.value.field
    assert [Remove(Policy, f"{GNP}//p")] == change
    assert [field] == [problem.field for problem in problems]


def test_fields_of_a_policy() -> None:
    found = policy(tier="security", order=7, doNotTrack=True, preDNAT=True, applyOnForward=True)

    assert ("security", 7.0, True, True, True) == (
        found.tier,
        found.order,
        found.do_not_track,
        found.pre_dnat,
        found.apply_on_forward,
    )
    assert ("default", None) == (policy().tier, policy().order)


def test_staged() -> None:
    """A staged policy is converted as what it previews, and marked."""
    assert StagedAction.SET is policy("StagedNetworkPolicy").staged
    assert StagedAction.DELETE is policy("StagedGlobalNetworkPolicy", stagedAction="Delete").staged
    assert policy(NP).staged is None


def test_staged_kubernetes() -> None:
    """Its rules are Kubernetes', its types too; a deletion is no policy at all (calico 2.12)."""
    kind = "StagedKubernetesNetworkPolicy"
    found = policy(kind, podSelector={}, egress=[{"ports": [{"port": 53, "protocol": "UDP"}]}])
    deletion = obj(kind, stagedAction="Delete")

    assert {Direction.INGRESS, Direction.EGRESS} == found.types
    assert ("shop", 1000.0, StagedAction.SET) == (found.namespace, found.order, found.staged)
    assert found.egress[0].destination.ports == (PortRange(53, 53),)
    assert entities(deletion) == []
    assert ([Remove(Policy, f"{kind}/shop/p")], ()) == changes(deletion)


def test_crd_spelling() -> None:
    """Calico's own CRDs are the same objects under another group."""
    spelled = {**obj(selector="a == 'b'"), "apiVersion": "crd.projectcalico.org/v1"}

    assert entities(obj(selector="a == 'b'")) == entities(spelled)


def test_namespace_of_the_file() -> None:
    """Without a namespace it is ``default``, as for kubectl."""
    unnamed = obj(NP)
    del unnamed["metadata"]["namespace"]

    assert [(Policy, f"{NP}/default/p")] == keys(unnamed)
    (change,), _ = changes(unnamed)
    assert isinstance(change, Put)
