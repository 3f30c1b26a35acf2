"""What must be encrypted comes in by a tunnel, or not at all; without a guard there is no chain."""

from __future__ import annotations

import msgspec
import pytest

from build import cidrs
from chita.dataplane.nftables.ruleset import RulesetBuilder, policy_ruleset
from chita.dataplane.nftables.strict import strictness
from chita.dataplane.nftables.trace import Outcome, Packet, Path, trace
from chita.desired.policy import EndpointPolicy, PolicyRules, PolicyState, Rule, StrictGuard
from chita.model.net import TCP, Address
from chita.model.policy import Action

POD, POD6 = Address.parse("10.244.1.1"), Address.parse("fd00:10:244:1::1")
FAR, FAR6 = Address.parse("10.244.3.1"), Address.parse("fd00:10:244:3::1")
BORROWED, OTHER = Address.parse("10.244.3.7"), Address.parse("203.0.113.7")
GUARD = StrictGuard(
    tuple(cidrs("10.244.3.0/26 fd00:10:244:3::/122")),
    tuple(cidrs("10.244.3.7/32")),
    ("chita-wg0", "chita-wg1", "chita-transit"),
)
OPEN = PolicyRules(ingress=(Rule(action=Action.ALLOW),), egress=(Rule(action=Action.ALLOW),))
NODE = PolicyState(
    endpoints={
        "cali1": EndpointPolicy(
            interface="cali1", endpoint="shop/web", addresses=(POD, POD6), profiles=("p",)
        )
    },
    profiles={"p": OPEN},
)
STRICT = msgspec.structs.replace(NODE, strict=GUARD)
YES, NO = Outcome.ACCEPT, Outcome.DROP


@pytest.mark.parametrize(
    ("source", "destination", "device", "expected"),
    [
        pytest.param(FAR, POD, "chita-wg0", YES, id="tunnel"),
        pytest.param(FAR, POD, "chita-transit", YES, id="relayed"),
        pytest.param(FAR, POD, "eth0", NO, id="bare"),
        pytest.param(FAR6, POD6, "eth0", NO, id="bare-ipv6"),
        pytest.param(FAR, POD, "chita-vxlan", NO, id="device-that-is-not-listed"),
        pytest.param(FAR, POD, "chita-wg", NO, id="names-are-whole"),
        pytest.param(BORROWED, POD, "eth0", YES, id="borrowed-by-a-neighbour"),
        pytest.param(OTHER, POD, "eth0", YES, id="somebody-else"),
        pytest.param(POD, POD, "cali1", YES, id="own-pod"),
    ],
)
def test_bare_packets_of_sealed_networks_are_dropped(
    source: Address, destination: Address, device: str, expected: Outcome
) -> None:
    sent = Packet(
        source=source, destination=destination, protocol=TCP, source_port=40000,
        destination_port=80, iif=device, oif="cali1",
    )  # fmt: skip

    assert expected is trace(policy_ruleset(STRICT), sent, Path.FORWARD).outcome
    assert YES is trace(policy_ruleset(NODE), sent, Path.FORWARD).outcome
    for_us = msgspec.structs.replace(sent, oif="", destination=OTHER)
    if device != "cali1":
        assert expected is trace(policy_ruleset(STRICT), for_us, Path.INPUT).outcome


def test_without_a_guard_there_is_nothing() -> None:
    assert ((), ()) == (strictness(None).chains, strictness(None).sets)
    assert "strict-prerouting" not in policy_ruleset(NODE).chains


def test_the_guard_comes_and_goes() -> None:
    """Built on from the last state it is what it is from scratch."""
    builder = RulesetBuilder()
    other = msgspec.structs.replace(STRICT, strict=msgspec.structs.replace(GUARD, bare=()))
    for state in (NODE, STRICT, other, STRICT, NODE):
        assert policy_ruleset(state) == builder.build(state)


PEER, PEER6 = Address.parse("100.65.0.1"), Address.parse("fd00:100:65::1")
STATIC = tuple(cidrs("100.65.0.1/32 fd00:100:65::1/128"))


@pytest.mark.parametrize(
    "guard",
    [
        pytest.param(StrictGuard((), (), (), STATIC), id="nothing-else-is-sealed"),
        pytest.param(msgspec.structs.replace(GUARD, static=STATIC), id="beside-what-is-sealed"),
    ],
)
@pytest.mark.parametrize(
    ("source", "destination", "device", "expected"),
    [
        pytest.param(PEER, POD, "chita-wg-static", YES, id="its-device"),
        pytest.param(PEER6, POD6, "chita-wg-static", YES, id="its-device-ipv6"),
        pytest.param(PEER, POD, "eth0", NO, id="bare"),
        pytest.param(PEER6, POD6, "eth0", NO, id="bare-ipv6"),
        pytest.param(PEER, POD, "chita-wg0", NO, id="tunnel-of-a-node"),
        pytest.param(OTHER, POD, "eth0", YES, id="somebody-else"),
    ],
)
def test_static_peers_come_by_their_device_alone(
    guard: StrictGuard, source: Address, destination: Address, device: str, expected: Outcome
) -> None:
    sent = Packet(
        source=source, destination=destination, protocol=TCP, source_port=40000,
        destination_port=80, iif=device, oif="cali1",
    )  # fmt: skip
    held = msgspec.structs.replace(NODE, strict=guard)

    assert expected is trace(policy_ruleset(held), sent, Path.FORWARD).outcome
