"""Explanations: the JSON contract, and what people read."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import UNSET, structs

from build import (
    ALLOW,
    DENY,
    PASS,
    cluster,
    namespace,
    network_set,
    node,
    policy,
    rule,
    side,
    tier,
    workload,
)
from chita.compute.evaluate import Evaluator
from chita.compute.explain import FlowExplanation, explain, explanation_text, summary
from chita.compute.flow import Flow
from chita.compute.matching import Field
from chita.compute.wording import Mismatch
from chita.model.net import ICMP, TCP, UDP, Address
from chita.model.policy import HttpMatch, IcmpMatch, Policy, PolicyKind, Rule, StagedAction

WEB, DB, OUT = "10.244.0.1", "10.244.0.2", "203.0.113.7"
WORLD_ENTITIES = (
    namespace("a"),
    workload("a/web", WEB, labels={"app": "web"}),
    workload("a/db", DB, labels={"app": "db"}),
    node("node-1", "10.0.0.1"),
    tier("first", 1, PASS),
    policy("/guard", ingress=[rule(DENY, source=side(nets="198.51.100.0/24"))], tier="first"),
    policy("a/preview", ingress=[], staged=StagedAction.SET, order=1),
    policy("a/empty", "app == 'db'", ingress=[], order=2),
    policy(
        "a/db",
        "app == 'db'",
        ingress=[
            rule(source=side("app == 'job'"), protocol=UDP, destination=side(ports="53")),
            rule(source=side("app == 'web'"), protocol=TCP, destination=side(ports="5432")),
        ],
        order=3,
    ),
)
WORLD = cluster(*WORLD_ENTITIES)


def staged_policy(key: str, action: StagedAction) -> Policy:
    """Return a staged policy without rules: its selector is all, its type inferred."""
    made = policy(key, ingress=[], staged=action)
    return structs.replace(made, kind=PolicyKind.STAGED_NETWORK_POLICY)


def explained(source: str, destination: str, at: int) -> FlowExplanation:
    flow = Flow(
        source=Address.parse(source),
        destination=Address.parse(destination),
        protocol=TCP,
        destination_port=at,
    )
    return explain(Evaluator(WORLD), flow)


def test_summary_is_the_json_contract() -> None:
    """Overview section 6: verdict, and per direction the action, what decided and why."""
    flow = Flow(
        source=Address.parse(WEB),
        destination=Address.parse(DB),
        protocol=TCP,
        destination_port=5432,
    )
    builtins = msgspec.to_builtins(summary(Evaluator(WORLD).evaluate(flow)))

    assert builtins == {
        "verdict": "allow",
        "egress": {
            "action": "allow",
            "decidedBy": "profile",
            "tier": None,
            "policy": "kns.a",
            "rule": 0,
            "why": "no policy decided; rule 0 of profile kns.a allows it",
        },
        "ingress": {
            "action": "allow",
            "decidedBy": "rule",
            "tier": "default",
            "policy": "NetworkPolicy/a/db",
            "rule": 1,
            "why": "rule 1 of NetworkPolicy/a/db in tier default allows it",
            "pending": {
                "action": "allow",
                "decidedBy": "rule",
                "tier": "default",
                "policy": "NetworkPolicy/a/db",
                "rule": 1,
                "why": "rule 1 of NetworkPolicy/a/db in tier default allows it",
            },
        },
        "pending": "allow",
    }


def test_explanation_has_all_that_was_looked_at() -> None:
    """Every tier, policy and rule up to the decision, each rule with why it did not match."""
    ingress = explained(WEB, DB, 80).ingress
    first, default = ingress.chain

    assert (first.tier, first.passed, default.tier, default.passed) == (
        "first", True, "default", False,
    )  # fmt: skip
    assert [(each.policy, each.staged, len(each.rules)) for each in default.policies] == [
        ("NetworkPolicy/a/preview", True, 0),
        ("NetworkPolicy/a/empty", False, 0),
        ("NetworkPolicy/a/db", False, 2),
    ]
    assert first.policies[0].rules[0].mismatches == (
        Mismatch(Field.SOURCE_NETS, "198.51.100.0/24", WEB),
    )


def test_denied_flow_names_the_rule_that_came_nearest() -> None:
    """The Allow rule with the fewest fields that do not fit."""
    nearest = explained(WEB, DB, 80).ingress.nearest

    assert nearest is not None
    assert (nearest.policy, nearest.rule) == ("NetworkPolicy/a/db", 1)
    assert nearest.mismatches == (Mismatch(Field.DESTINATION_PORTS, "5432", "80"),)


def test_allowed_flow_has_no_nearest_rule() -> None:
    assert explained(WEB, DB, 5432).ingress.nearest is None


def test_text() -> None:
    """What a terminal shows."""
    assert explanation_text(explained(OUT, DB, 5432)) == (
        "203.0.113.7 to a/db: deny\n"
        "  egress: allow: nothing is enforced at 203.0.113.7\n"
        "  ingress: deny: tier default ends in Deny: NetworkPolicy/a/empty, NetworkPolicy/a/db "
        "apply here and no rule decided\n"
        "    tier first, then on to the next\n"
        "      GlobalNetworkPolicy//guard\n"
        "        rule 0 Deny: source.nets is 198.51.100.0/24, seen 203.0.113.7\n"
        "    tier default\n"
        "      NetworkPolicy/a/preview (staged: decides nothing)\n"
        "      NetworkPolicy/a/empty\n"
        "      NetworkPolicy/a/db\n"
        "        rule 0 Allow: protocol is UDP, seen TCP; destination.ports is 53, seen 5432; "
        'source.selector is app == "job", seen 203.0.113.7, which no endpoint and no network set '
        "has\n"
        '        rule 1 Allow: source.selector is app == "web", seen 203.0.113.7, which no '
        "endpoint and no network set has\n"
        "    nearest: rule 1 of NetworkPolicy/a/db would allow it, but source.selector is "
        'app == "web", seen 203.0.113.7, which no endpoint and no network set has'
    )


def test_a_staged_delete_stands_where_what_it_removes_applies() -> None:
    """It names that policy; one that is ignored is not shown at all."""
    staged = cluster(
        *WORLD_ENTITIES,
        policy("a/out", "app == 'web'", egress=[rule(DENY)]),
        staged_policy("a/out", StagedAction.DELETE),
        staged_policy("a/nothing", StagedAction.DELETE),
        staged_policy("a/ignored", StagedAction.IGNORE),
    )
    flow = Flow(
        source=Address.parse(WEB),
        destination=Address.parse(DB),
        protocol=TCP,
        destination_port=5432,
    )
    found = explain(Evaluator(staged), flow)
    text = explanation_text(found)

    assert [
        (each.policy, each.staged, each.removes) for each in found.egress.chain[0].policies
    ] == [
        ("StagedNetworkPolicy/a/out", True, "NetworkPolicy/a/out"),
        ("NetworkPolicy/a/out", False, UNSET),
    ]
    assert "StagedNetworkPolicy/a/out (staged: would remove NetworkPolicy/a/out)" in text
    assert "staged: allow: " in text
    assert "Staged" not in "".join(
        each.policy for tier in found.ingress.chain for each in tier.policies
    )
    assert "ignored" not in text
    assert "nothing" not in "".join(line for line in text.splitlines() if "Staged" in line)


@pytest.mark.parametrize(
    ("one", "fields", "expected"),
    [
        pytest.param(rule(protocol=UDP), {}, ("protocol", "UDP", "TCP"), id="protocol"),
        pytest.param(rule(not_protocol=TCP), {}, ("notProtocol", "TCP", "TCP"), id="not-protocol"),
        pytest.param(rule(family=6), {}, ("ipVersion", "6", "4"), id="family"),
        pytest.param(
            rule(icmp=IcmpMatch(8, 0)),
            {"protocol": ICMP, "icmp_type": 0},
            ("icmp", "type 8 code 0", "type 0"),
            id="icmp",
        ),
        pytest.param(
            rule(not_icmp=IcmpMatch(8)),
            {"protocol": ICMP, "icmp_type": 8, "icmp_code": 0},
            ("notICMP", "type 8", "type 8 code 0"),
            id="not-icmp",
        ),
        pytest.param(
            Rule(action=ALLOW, http=HttpMatch(methods=("GET",))),
            {},
            ("http", "set", "nothing of HTTP: it is not known at this layer"),
            id="http",
        ),
        pytest.param(
            rule(source=side("app == 'db' && has(x)")),
            {},
            ("source.selector", '(app == "db" && has(x))', "10.244.0.1 with app=web, no x"),
            id="selector",
        ),
        pytest.param(
            rule(source=side(not_selector="app == 'web'")),
            {},
            ("source.notSelector", 'app == "web"', "10.244.0.1 with app=web"),
            id="not-selector",
        ),
        pytest.param(
            rule(source=side("has(app)", not_selector="app == 'web'")),
            {},
            ("source.selector", '(has(app) && !app == "web")', "10.244.0.1 with app=web"),
            id="both-selectors",
        ),
        pytest.param(
            rule(source=side("!all()")),
            {},
            ("source.selector", "!all()", "10.244.0.1 with any labels"),
            id="nothing",
        ),
        pytest.param(
            rule(source=side(not_nets="10.244.0.0/16")),
            {},
            ("source.notNets", "10.244.0.0/16", WEB),
            id="not-nets",
        ),
        pytest.param(
            rule(destination=side(not_ports="1:99 http")),
            {},
            ("destination.notPorts", "1:99, http", "80"),
            id="not-ports",
        ),
        pytest.param(
            rule(source=side(service="a/x")),
            {},
            ("source.services", "a/x", "10.244.0.1 port 49152"),
            id="source-service",
        ),
        pytest.param(
            rule(destination=side(service="a/x")),
            {},
            ("destination.services", "a/x", "10.244.0.2 port 80"),
            id="destination-service",
        ),
    ],
)
def test_each_field_in_words(
    one: Rule, fields: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    """What the rule wants and what the packet has instead."""
    state = cluster(
        namespace("a"),
        workload("a/web", WEB, labels={"app": "web"}),
        workload("a/db", DB),
        network_set("/out", "203.0.113.0/24"),
        policy("a/p", ingress=[one]),
    )
    flow = Flow(
        source=Address.parse(WEB),
        destination=Address.parse(DB),
        destination_port=80,
        **{"protocol": TCP, **fields},
    )
    nearest = explain(Evaluator(state), flow).ingress.nearest

    assert nearest is not None
    assert expected == msgspec.structs.astuple(nearest.mismatches[0])
