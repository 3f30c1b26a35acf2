"""Which endpoints are looked at after a change, and what is decided about their flows."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from chita.compute.flow import Flow
from chita.dataplane.conntrack import Connection
from chita.dataplane.flows import FlowJudge, changed_endpoints, end_denied
from chita.dataplane.nftables.ruleset import policy_ruleset
from chita.dataplane.nftables.trace import Outcome, trace
from chita.desired.policy import (
    AddressSet,
    Match,
    PolicyRules,
    PolicyState,
    Rule,
)
from chita.model.net import TCP, Address
from chita.model.policy import Action
from chita.model.settings import DeniedFlows
from nftables_states import CLIENTS, OTHER, POD, STATES, WEB, pod, situation, tier
from policy_states import FLOWS, packet, policy_states

NODE = Address.parse("192.0.2.1")
STRANGER = Address.parse("198.51.100.7")


def connection(source: Address, destination: Address, port: int = 80) -> Connection:
    """Return an established TCP connection that nobody translates."""
    return Connection(
        protocol=TCP,
        source=source,
        destination=destination,
        source_port=40_000,
        destination_port=port,
        reply_source=destination,
        reply_destination=source,
        reply_source_port=port,
    )


def under(rule: Rule, members: AddressSet = CLIENTS) -> PolicyState:
    """Return the state of a pod whose only policy is *rule* for what it receives."""
    policies = {WEB: PolicyRules(ingress=(rule,))}
    return situation(pod(tier("default", WEB)), policies, clients=members)


ALLOWED = Rule(action=Action.ALLOW, source=Match(sets=("clients",)))
DENIED = Rule(action=Action.DENY, source=Match(sets=("clients",)))
PASSED = Rule(action=Action.PASS, source=Match(sets=("clients",)))
ALL_BUT = Rule(action=Action.ALLOW, source=Match(not_sets=("clients",)))
MORE = AddressSet(addresses=CLIENTS.addresses | {STRANGER}, networks=CLIENTS.networks)


@pytest.mark.parametrize(
    ("rule", "before", "after", "expected"),
    [
        pytest.param(ALLOWED, CLIENTS, MORE, [], id="allowed-set-grows"),
        pytest.param(ALLOWED, MORE, CLIENTS, ["cali1"], id="allowed-set-shrinks"),
        pytest.param(DENIED, CLIENTS, MORE, ["cali1"], id="denied-set-grows"),
        pytest.param(DENIED, MORE, CLIENTS, [], id="denied-set-shrinks"),
        pytest.param(ALL_BUT, CLIENTS, MORE, ["cali1"], id="excepted-set-grows"),
        pytest.param(ALL_BUT, MORE, CLIENTS, [], id="excepted-set-shrinks"),
        pytest.param(PASSED, CLIENTS, MORE, ["cali1"], id="passed-set-grows"),
        pytest.param(PASSED, MORE, CLIENTS, ["cali1"], id="passed-set-shrinks"),
    ],
)
def test_only_what_may_deny_more_is_looked_at(
    rule: Rule, before: AddressSet, after: AddressSet, expected: list[str]
) -> None:
    first = under(rule, before)
    second = msgspec.structs.replace(first, address_sets={"clients": after})

    assert expected == changed_endpoints(first, second)


def test_a_policy_more_is_looked_at_and_a_new_pod_is_not() -> None:
    state = STATES["profile-only"]
    stricter = situation(pod(tier("default", WEB)), {WEB: PolicyRules()})

    assert changed_endpoints(state, stricter) == ["cali1"]
    assert changed_endpoints(PolicyState(), stricter) == []
    assert changed_endpoints(state, state) == []


@pytest.mark.parametrize(
    ("flow", "denied"),
    [
        pytest.param(connection(STRANGER, POD), True, id="to-the-pod-denied"),
        pytest.param(connection(OTHER, POD), False, id="to-the-pod-allowed"),
        pytest.param(connection(POD, STRANGER), False, id="from-the-pod"),
        pytest.param(connection(NODE, POD), False, id="the-nodes-own"),
        pytest.param(connection(STRANGER, OTHER), False, id="of-nobody-here"),
        pytest.param(
            msgspec.structs.replace(connection(STRANGER, NODE, 30080), reply_source=POD),
            True,
            id="translated-to-the-pod",
        ),
    ],
)
def test_an_established_flow_is_judged_as_a_new_one(flow: Connection, *, denied: bool) -> None:
    state = under(ALLOWED)
    judge = FlowJudge(state, policy_ruleset(state), frozenset({NODE}))

    assert judge.denies(flow) is denied
    assert judge.denies(flow) is denied


def test_flows_are_kept_where_the_setting_says_so() -> None:
    before = under(ALLOWED)
    after = msgspec.structs.replace(
        before, policies={WEB: PolicyRules()}, denied_flows=DeniedFlows.KEEP
    )

    assert end_denied(before, after, policy_ruleset(after), frozenset(), _fail) == 0


def _fail(*_: object) -> int:
    raise AssertionError("the kernel is asked")


def established(flow: Flow) -> Connection:
    """Return *flow* as connection tracking has it."""
    return Connection(
        protocol=flow.protocol,
        source=flow.source,
        destination=flow.destination,
        source_port=flow.source_port,
        destination_port=flow.destination_port,
        reply_source=flow.destination,
        reply_destination=flow.source,
        reply_source_port=flow.destination_port,
        icmp_type=flow.icmp_type or 0,
        icmp_code=flow.icmp_code or 0,
    )


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(policy_states())
def test_a_judge_remembers_only_what_does_not_matter(state: PolicyState) -> None:
    """Flows that differ by source port share a judgement only where no rule read it."""
    ruleset = policy_ruleset(state)
    judge = FlowJudge(state, ruleset, frozenset())
    for flow in FLOWS:
        expected = trace(ruleset, packet(flow)).outcome is Outcome.DROP

        assert expected is judge.denies(established(flow)), flow
