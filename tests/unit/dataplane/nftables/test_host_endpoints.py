"""Base chains of host endpoints: which exist, and what they ask of which packet."""

from __future__ import annotations

from typing import Any

import pytest

from chita.dataplane.nftables.host_endpoints import TRANSLATED, Stage
from chita.dataplane.nftables.objects import CtState
from chita.dataplane.nftables.ruleset import RulesetBuilder, policy_ruleset
from chita.dataplane.nftables.trace import Outcome, Packet, Path, trace
from chita.desired.policy import (
    EndpointPolicy,
    HostEndpointPolicy,
    HostState,
    PolicyRules,
    PolicyState,
    Rule,
    TierPolicies,
)
from chita.model.net import ICMP, TCP, UDP, Address, Cidr
from chita.model.policy import Action
from chita.model.settings import FailsafePort
from nftables_states import STATES

HOST, PEER, POD = (Address.parse(text) for text in ("10.0.0.1", "203.0.113.7", "10.244.0.1"))
FELLOW = Address.parse("10.0.0.2")
YES, NO = Outcome.ACCEPT, Outcome.DROP
ALLOW, DENY, OPEN = "GlobalNetworkPolicy//allow", "GlobalNetworkPolicy//deny", "open"
BOTH_WAYS = {
    ALLOW: PolicyRules(ingress=(Rule(action=Action.ALLOW),), egress=(Rule(action=Action.ALLOW),)),
    DENY: PolicyRules(ingress=(Rule(action=Action.DENY),), egress=(Rule(action=Action.DENY),)),
}
ALLOWS = (TierPolicies(tier="t", policies=(ALLOW,), end=Action.PASS),)
DENIES = (TierPolicies(tier="t", policies=(DENY,), end=Action.PASS),)


def state(interface: str = "eth0", **stages: Any) -> PolicyState:
    """Return the state of a node with a pod and one host endpoint of these *stages*."""
    return PolicyState(
        endpoints={
            "cali1": EndpointPolicy(
                interface="cali1", endpoint="shop/web", addresses=(POD,), profiles=(OPEN,)
            )
        },
        policies=BOTH_WAYS,
        profiles={OPEN: BOTH_WAYS[ALLOW]},
        host=HostState(
            endpoints={interface: HostEndpointPolicy(
                interface=interface, endpoint="uplink", **stages
            )},
            failsafe_inbound=(FailsafePort(TCP, 22),),
            failsafe_outbound=(FailsafePort(TCP, 6443),),
            tunnel_ports=(51820,),
            node_ports=(4789,),
            nodes=(Cidr.of(FELLOW),),
        ),
    )  # fmt: skip


def packet(
    source: Address, destination: Address, iif: str = "", oif: str = "", **fields: Any
) -> Packet:
    its = {"protocol": TCP, "source_port": 40000, "destination_port": 80, **fields}
    return Packet(source=source, destination=destination, iif=iif, oif=oif, **its)


def to_host(**fields: Any) -> Packet:
    return packet(PEER, HOST, iif="eth0", **fields)


def from_host(**fields: Any) -> Packet:
    return packet(HOST, PEER, oif="eth0", **fields)


@pytest.mark.parametrize("name", [name for name in STATES if not STATES[name].host.endpoints])
def test_a_node_without_host_endpoints_has_none_of_the_chains(name: str) -> None:
    """Nothing costs its packets anything."""
    chains = policy_ruleset(STATES[name]).chains

    assert [] == [each for each in chains if each.startswith(("host-", "failsafe", "echo"))]


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        pytest.param({}, {Stage.INPUT, Stage.OUTPUT}, id="without-policy"),
        pytest.param(
            {"forward_ingress": DENIES}, {Stage.INPUT, Stage.OUTPUT, Stage.FORWARD_IN}, id="forward"
        ),
        pytest.param(
            {"untracked_egress": DENIES, "pre_dnat": ALLOWS},
            {Stage.INPUT, Stage.OUTPUT, Stage.UNTRACKED_OUT, Stage.PRE_DNAT},
            id="early",
        ),
    ],
)
def test_only_stages_with_policy_have_a_base_chain(
    stages: dict[str, Any], expected: set[Stage]
) -> None:
    chains = policy_ruleset(state(**stages)).chains
    names = {stage.value for stage in expected} | {TRANSLATED}

    assert names == {name for name, each in chains.items() if each.hook and "host-" in name}


@pytest.mark.parametrize(
    ("stages", "sent", "path", "expected"),
    [
        pytest.param({}, to_host(), Path.INPUT, NO, id="closed-in"),
        pytest.param({}, from_host(), Path.OUTPUT, NO, id="closed-out"),
        pytest.param({"profiles": (OPEN,)}, to_host(), Path.INPUT, YES, id="profile"),
        pytest.param({}, to_host(destination_port=22), Path.INPUT, YES, id="failsafe-in"),
        pytest.param({}, from_host(destination_port=6443), Path.OUTPUT, YES, id="failsafe-out"),
        pytest.param({}, from_host(destination_port=22), Path.OUTPUT, NO, id="of-one-direction"),
        pytest.param(
            {"pre_dnat": DENIES, "untracked_ingress": DENIES}, to_host(destination_port=22),
            Path.INPUT, YES, id="failsafe-before-early-stages",
        ),
        pytest.param(
            {"untracked_ingress": DENIES}, to_host(source_port=6443, state=CtState.ESTABLISHED),
            Path.INPUT, YES, id="reply-to-a-failsafe",
        ),
        pytest.param({}, to_host(state=CtState.ESTABLISHED), Path.INPUT, YES, id="established"),
        pytest.param(
            {}, to_host(protocol=UDP, destination_port=51820), Path.INPUT, YES, id="wireguard"
        ),
        pytest.param(
            {}, packet(FELLOW, HOST, "eth0", protocol=UDP, destination_port=4789),
            Path.INPUT, YES, id="vxlan-of-a-node",
        ),
        pytest.param(
            {}, to_host(protocol=UDP, destination_port=4789), Path.INPUT, NO, id="vxlan-of-others"
        ),
        pytest.param(
            {}, packet(FELLOW, HOST, "eth0", protocol=ICMP, icmp_type=8),
            Path.INPUT, YES, id="echo-of-a-node",
        ),
        pytest.param({}, packet(PEER, HOST, "eth1"), Path.INPUT, YES, id="another-interface"),
        pytest.param({"pre_dnat": ALLOWS}, to_host(), Path.INPUT, YES, id="allowed-before-dnat"),
        pytest.param({"pre_dnat": DENIES, "profiles": (OPEN,)}, to_host(), Path.INPUT, NO,
                     id="denied-before-dnat"),
        pytest.param({"untracked_ingress": ALLOWS, "pre_dnat": DENIES}, to_host(), Path.INPUT, YES,
                     id="untracked-comes-first"),
        pytest.param({"untracked_egress": ALLOWS}, from_host(), Path.OUTPUT, YES,
                     id="untracked-out"),
        pytest.param({}, packet(HOST, POD, oif="cali1"), Path.OUTPUT, YES, id="to-its-own-pod"),
        pytest.param({}, packet(POD, HOST, iif="cali1"), Path.INPUT, YES, id="from-its-own-pod"),
        pytest.param({}, packet(PEER, POD, "eth0", "cali1"), Path.FORWARD, YES,
                     id="forwarding-is-free"),
        pytest.param({"forward_ingress": DENIES}, packet(PEER, POD, "eth0", "cali1"),
                     Path.FORWARD, NO, id="forward-in"),
        pytest.param({"forward_egress": DENIES}, packet(POD, PEER, "cali1", "eth0"),
                     Path.FORWARD, NO, id="forward-out"),
        pytest.param({"forward_egress": DENIES}, packet(PEER, POD, "eth0", "cali1"),
                     Path.FORWARD, YES, id="forward-of-one-direction"),
        pytest.param({"pre_dnat": ALLOWS, "forward_ingress": DENIES},
                     packet(PEER, POD, "eth0", "cali1"), Path.FORWARD, YES,
                     id="early-skips-forward-of-its-interface"),
    ],
)  # fmt: skip
def test_what_an_endpoint_asks(
    stages: dict[str, Any], sent: Packet, path: Path, expected: Outcome
) -> None:
    assert expected is trace(policy_ruleset(state(**stages)), sent, path).outcome


@pytest.mark.parametrize(
    ("interface", "sent", "path", "expected"),
    [
        pytest.param("*", to_host(), Path.INPUT, NO, id="any-interface"),
        pytest.param("*", packet(HOST, HOST, iif="lo"), Path.INPUT, YES, id="loopback"),
        pytest.param("*", packet(HOST, POD, oif="cali1"), Path.OUTPUT, YES, id="own-pod"),
        pytest.param("*", packet(POD, HOST, iif="cali1"), Path.INPUT, YES, id="from-own-pod"),
    ],
)
def test_an_endpoint_for_all_interfaces_leaves_what_stays_on_the_node(
    interface: str, sent: Packet, path: Path, expected: Outcome
) -> None:
    assert expected is trace(policy_ruleset(state(interface)), sent, path).outcome


def test_what_was_translated_is_asked_by_the_interface_it_leaves_by() -> None:
    """Egress policy sees the destination after DNAT, in the postrouting hook (trap 10)."""
    ruleset = policy_ruleset(state())
    moved = trace(ruleset, packet(HOST, PEER, oif="eth0", translated=True), Path.OUTPUT)
    elsewhere = trace(ruleset, packet(HOST, POD, oif="cali1", translated=True), Path.OUTPUT)

    assert (NO, YES) == (moved.outcome, elsewhere.outcome)
    assert TRANSLATED in {hit.chain for hit in moved.hits}


def test_an_untracked_flow_goes_on_to_a_pod() -> None:
    """Connection tracking knows nothing of it: each packet looks like the middle of a flow."""
    middle = packet(PEER, POD, "eth0", "cali1", syn=False)

    assert NO is trace(policy_ruleset(state()), middle).outcome
    assert YES is trace(policy_ruleset(state(untracked_ingress=ALLOWS)), middle).outcome


def test_an_endpoint_that_goes_takes_its_chains_along() -> None:
    builder = RulesetBuilder()
    with_host, without = state(pre_dnat=ALLOWS), PolicyState()

    assert policy_ruleset(with_host) == builder.build(with_host)
    assert policy_ruleset(without) == builder.build(without)
