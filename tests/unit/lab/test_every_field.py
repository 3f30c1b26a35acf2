"""examples/every-field.yaml uses every field of the policy APIs, and decides as it says."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest

from chita.compute.evaluate import Evaluator
from chita.compute.flow import Flow, Verdict
from chita.compute.policy import policy_state
from chita.convert.world import cluster_from_objects
from chita.dataplane.nftables.render import render
from chita.dataplane.nftables.ruleset import policy_ruleset
from chita.lab.world import World, read_world
from chita.model.kinds import KINDS
from chita.model.net import ICMP, ICMPV6, TCP, UDP, Address
from chita.model.schema import Format, ListOf, Record, Schema, Text, Whole
from chita.model.schemas.kinds import schema_of
from chita.model.selector import parse_selector, uid
from chita.model.selector_ast import And, Global, Not, Or, Selector
from chita.model.validate.objects import validate

FILE = Path(__file__).parents[3] / "examples" / "every-field.yaml"
ELSEWHERE = {
    "outside": ("198.18.0.70", "fd00:198:18::70"),
    "stranger": ("203.0.113.9", "2001:db8::9"),
}
"""Addresses beyond the cluster: of the host that network sets hold, and of one that none holds."""

POLICY_KINDS = {
    (kind.api_version, kind.kind)
    for kind in KINDS
    if kind.kind.endswith("Policy")
    or kind.kind in {"Tier", "Profile", "NetworkSet", "GlobalNetworkSet", "HostEndpoint"}
}

Part = tuple[str, int, object]
"""A field's name, the schema below it, and for a choice the value: kinds share their schemas."""


@cache
def every_field() -> World:
    return read_world([FILE])


@cache
def evaluator() -> Evaluator:
    objects = [obj for obj in every_field().objects if obj["kind"] != "Underlay"]
    return Evaluator(cluster_from_objects(objects).cluster)


def parts(schema: Schema, name: str = "") -> Iterator[Part]:
    """Yield all that *schema* has."""
    match schema:
        case Record(fields=fields):
            for field, child in fields.items():
                yield (field, id(child), None)
                yield from parts(child, field)
        case ListOf(item=item):
            yield from parts(item, name)
        case Text(choices=choices) | Whole(choices=choices):
            yield from ((name, id(schema), choice) for choice in choices)
        case _:
            pass


def used(schema: Schema, value: Any, name: str = "") -> Iterator[Part]:
    """Yield what of *schema* there is in *value*."""
    match schema:
        case Record(fields=fields):
            for field in fields.keys() & value.keys():
                yield (field, id(fields[field]), None)
                yield from used(fields[field], value[field], field)
        case ListOf(item=item):
            for entry in value:
                yield from used(item, entry, name)
        case Text(choices=choices) | Whole(choices=choices) if value in choices:
            yield (name, id(schema), value)
        case _:
            pass


def test_every_field_is_used() -> None:
    """What the schemas know, spec by spec and choice by choice; one use anywhere is enough."""
    there: set[Part] = set()
    for obj in every_field().objects:
        if (obj["apiVersion"], obj["kind"]) in POLICY_KINDS:
            schema = schema_of(obj["apiVersion"], obj["kind"])
            assert schema is not None
            there |= set(used(schema.fields["spec"], obj["spec"]))
    missing = []
    for api_version, kind in sorted(POLICY_KINDS):
        schema = schema_of(api_version, kind)
        assert schema is not None
        lacking = set(parts(schema.fields["spec"])) - there
        missing += [f"{kind} {field} {choice or ''}" for field, _, choice in lacking]

    assert sorted(set(missing)) == []


def selectors(schema: Schema, value: Any) -> Iterator[str]:
    """Yield every selector in *value*."""
    match schema:
        case Record(fields=fields):
            for field in fields.keys() & value.keys():
                yield from selectors(fields[field], value[field])
        case ListOf(item=item):
            for entry in value:
                yield from selectors(item, entry)
        case Text(format=Format.SELECTOR | Format.SELECTOR_OR_GLOBAL):
            yield value
        case _:
            pass


def operators(selector: Selector) -> Iterator[type]:
    """Yield the type of every node of *selector*."""
    yield type(selector)
    match selector:
        case Not(operand):
            yield from operators(operand)
        case And(operands) | Or(operands):
            for operand in operands:
                yield from operators(operand)
        case _:
            pass


def every_selector() -> set[str]:
    found: set[str] = set()
    for obj in every_field().objects:
        schema = schema_of(obj["apiVersion"], obj["kind"])
        if schema is not None and (obj["apiVersion"], obj["kind"]) in POLICY_KINDS:
            found |= set(selectors(schema.fields["spec"], obj["spec"]))
    return found


def test_every_operator_is_used() -> None:
    """All of the selector language, and the words that may be written in two ways."""
    found = {kind for text in every_selector() for kind in operators(parse_selector(text))}

    assert found >= set(get_args(Selector)) - {Global}
    assert "global()" in every_selector()
    for word in ("not in", "notin", "starts with", "startswith", "ends with", "endswith"):
        assert any(f" {word} " in text for text in every_selector()), word


def test_one_selector_spelled_in_two_ways() -> None:
    """Both are one set: spelling is not part of what a selector is."""
    first, second = "app in {'web', 'api', 'db'}", 'app in {"db","api", "web",}'

    assert {first, second} <= every_selector()
    assert uid(parse_selector(first)) == uid(parse_selector(second))


def test_it_is_valid() -> None:
    """Every object, also for the API server; nothing is left out but what ended."""
    world = every_field()

    assert (world.problems, world.notices) == ((), ())
    assert [[] for _ in world.objects] == [validate(obj) for obj in world.objects]


def flows(source: str, destination: str, protocol: int, port: int) -> Iterator[Flow]:
    """Yield the flow in each family that both ends have; ICMP is an echo request."""
    workloads = evaluator().cluster.workloads
    ends = [
        workloads[end].addresses if "/" in end else tuple(map(Address.parse, ELSEWHERE[end]))
        for end in (source, destination)
    ]
    for origin in ends[0]:
        for target in ends[1]:
            if origin.family == target.family:
                is_echo = protocol == ICMP
                yield Flow(
                    source=origin,
                    destination=target,
                    protocol=ICMPV6 if is_echo and origin.family == 6 else protocol,
                    destination_port=port,
                    icmp_type={4: 8, 6: 128}[origin.family] if is_echo else None,
                    icmp_code=0 if is_echo else None,
                )


@pytest.mark.parametrize(
    ("source", "destination", "protocol", "port", "allowed"),
    [
        pytest.param("green/prober", "green/gated", TCP, 7001, "46", id="allowed-at-the-gate"),
        pytest.param("green/prober", "green/gated", TCP, 7002, "", id="end-of-tier-denies"),
        pytest.param("red/api", "green/gated", TCP, 7002, "46", id="pass-to-the-next-tier"),
        pytest.param("open/bare", "open/passed", TCP, 7001, "46", id="equal-orders-by-name"),
        pytest.param("open/bare", "open/passed", TCP, 7002, "", id="not-passed-by-the-gate"),
        pytest.param("blue/web", "open/passed", TCP, 7002, "46", id="allowed-by-the-second"),
        pytest.param("blue/web", "open/passed", TCP, 7001, "", id="last-tier-denies-the-rest"),
        pytest.param("red/cache", "open/passed", TCP, 7001, "46", id="pass-to-the-profiles"),
        pytest.param("green/prober", "red/cache", ICMP, 0, "46", id="ping-by-type"),
        pytest.param("blue/api", "red/cache", ICMP, 0, "6", id="ping-of-one-family"),
        pytest.param("stranger", "green/numbers", ICMP, 0, "", id="ping-from-a-stranger"),
        pytest.param("outside", "green/numbers", ICMP, 0, "6", id="a-set-is-of-its-namespace"),
        pytest.param("blue/api", "green/numbers", ICMP, 0, "", id="sender-may-not"),
        pytest.param("red/cache", "green/numbers", UDP, 7001, "", id="not-protocol"),
        pytest.param("outside", "green/numbers", UDP, 7001, "46", id="not-in-an-empty-set"),
        pytest.param("outside", "green/numbers", TCP, 7003, "46", id="range-of-ports"),
        pytest.param("outside", "green/numbers", TCP, 7002, "", id="port-between"),
        pytest.param("stranger", "green/peers", TCP, 7001, "", id="no-label-is-of-the-known"),
        pytest.param("outside", "green/peers", TCP, 7001, "46", id="what-a-set-holds-is-known"),
        pytest.param("stranger", "green/peers", TCP, 7002, "46", id="not-selector-is-of-all"),
        pytest.param("red/cache", "green/peers", TCP, 7003, "4", id="nets-and-selector"),
        pytest.param("red/api", "green/peers", TCP, 7003, "6", id="nets-and-not-selector"),
        pytest.param("open/bare", "green/peers", TCP, 7004, "46", id="named-port-of-selected"),
        pytest.param("blue/web", "green/peers", TCP, 7005, "", id="sender-by-kubernetes-rules"),
        pytest.param("outside", "green/peers", TCP, 7006, "46", id="what-has-no-namespace"),
        pytest.param("red/api", "green/peers", TCP, 7006, "46", id="source-by-service"),
        pytest.param("green/peers", "outside", TCP, 443, "46", id="network-set-of-a-namespace"),
        pytest.param("green/peers", "blue/web", TCP, 8080, "", id="destination-by-service"),
        pytest.param("blue/api", "red/web", TCP, 8080, "46", id="selector-first-spelling"),
        pytest.param("blue/api", "red/web", UDP, 5353, "46", id="selector-second-spelling"),
        pytest.param("green/prober", "red/web", TCP, 8080, "", id="http-allows-nothing"),
        pytest.param("red/web", "red/api", TCP, 8081, "46", id="port-of-the-service"),
        pytest.param("red/web", "red/api", TCP, 9000, "", id="no-port-of-the-service"),
        pytest.param("red/web", "outside", TCP, 443, "46", id="global-network-set"),
        pytest.param("red/web", "outside", UDP, 5353, "4", id="nets-and-range"),
        pytest.param("blue/api", "red/api", TCP, 8081, "46", id="service-account-both-ways"),
        pytest.param("red/api", "red/db", TCP, 5432, "46", id="not-ports-leave-it"),
        pytest.param("red/api", "red/db", TCP, 5433, "", id="not-ports-by-name"),
        pytest.param("blue/api", "red/db", TCP, 5432, "46", id="service-account-by-label"),
        pytest.param("red/cache", "red/db", TCP, 5432, "", id="denied-before"),
        pytest.param("red/api", "red/cache", TCP, 11211, "", id="in-an-empty-set"),
        pytest.param("green/vm", "red/cache", TCP, 11211, "4", id="not-nets"),
        pytest.param("blue/web", "red/api", TCP, 9000, "", id="source-by-service-may-not-send"),
        pytest.param("blue/web", "outside", TCP, 443, "6", id="except-of-a-block"),
        pytest.param("blue/db", "red/cache", TCP, 11211, "", id="no-egress-rules"),
        pytest.param("open/bare", "blue/web", TCP, 8080, "46", id="namespace-without-the-label"),
        pytest.param("red/cache", "open/ruled", TCP, 8080, "46", id="admin-accepts"),
        pytest.param("red/cache", "open/bare", TCP, 8080, "", id="old-admin-denies"),
        pytest.param("red/api", "open/bare", TCP, 8080, "46", id="old-admin-allows"),
        pytest.param("open/bare", "open/ruled", TCP, 8081, "46", id="passed-by-both-admins"),
        pytest.param("green/prober", "open/ruled", TCP, 8080, "", id="admin-denies-the-rest"),
        pytest.param("blue/api", "open/bare", TCP, 8080, "", id="baseline-denies"),
        pytest.param("green/prober", "open/visitor", TCP, 8080, "", id="old-baseline-denies"),
        pytest.param("green/prober", "open/bare", TCP, 8080, "46", id="old-baseline-is-of-others"),
        pytest.param("open/visitor", "green/peers", TCP, 7002, "", id="old-baseline-egress"),
        pytest.param("open/visitor", "outside", TCP, 443, "", id="old-admin-egress"),
        pytest.param("open/visitor", "outside", TCP, 8443, "46", id="and-its-ports-alone"),
        pytest.param("blue/api", "outside", TCP, 443, "", id="kept-in"),
    ],
)
def test_decision(source: str, destination: str, protocol: int, port: int, allowed: str) -> None:
    """The families in which the flow is allowed, worked out by hand from the policies."""
    seen = [
        str(flow.destination.family)
        for flow in flows(source, destination, protocol, port)
        if evaluator().evaluate(flow).verdict is Verdict.ALLOW
    ]

    assert allowed == "".join(sorted(seen))


def test_what_ended_is_nobody() -> None:
    """A pod that finished has no address that a rule could mean."""
    assert "green/finished" not in evaluator().cluster.workloads


def test_annotations_of_a_rule_are_in_its_comment() -> None:
    """All the way from the manifest to the ruleset of the node where the policy counts."""
    node = evaluator().cluster.workloads["green/gated"].node
    text = render(policy_ruleset(policy_state(evaluator().cluster, node)))
    commented = [line for line in text.splitlines() if "GlobalNetworkPolicy//gate" in line]

    assert any("reason=probes ticket=4711" in line for line in commented)
