"""Host endpoints where others translate addresses: what each stage sees, in the kernel."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from chita.compute.flow import Flow
from chita.dataplane.nftables.applier import NftApplier
from chita.dataplane.nftables.table import KernelTable
from chita.desired.policy import (
    EndpointPolicy,
    HostEndpointPolicy,
    HostState,
    Match,
    PolicyRules,
    PolicyState,
    Rule,
    TierPolicies,
)
from chita.model.net import TCP, UDP, Address, PortRange
from chita.model.policy import Action
from chita.model.settings import FailsafePort
from network_namespace import needs_root
from nftables_world import HOST, World, inside, world
from policy_states import ADDRESSES, NODE, OUTSIDE, POD_A, POD_B

pytestmark = [pytest.mark.kernel, needs_root]
PEER, POD = ADDRESSES[OUTSIDE][4][0], ADDRESSES[POD_A][4][0]
SERVICE = Address.parse("10.96.0.1")
NODE_PORT, SERVICE_PORT, TARGET_PORT = 30080, 80, 8080
P, OPEN = "GlobalNetworkPolicy//p", "open"
ANYTHING = PolicyRules(ingress=(Rule(action=Action.ALLOW),), egress=(Rule(action=Action.ALLOW),))

TRANSLATION = f"""
table ip services {{
    chain inbound {{
        type nat hook prerouting priority dstnat;
        tcp dport {NODE_PORT} dnat to {POD}:{TARGET_PORT}
    }}
    chain outbound {{
        type nat hook output priority -100;
        ip daddr {SERVICE} tcp dport {SERVICE_PORT} dnat to {PEER}:{TARGET_PORT}
    }}
}}
"""


@pytest.fixture(scope="module")
def node() -> Iterator[World]:
    with world() as built, inside(built.node):
        subprocess.run(["nft", "-f", "-"], input=TRANSLATION, text=True, check=True, timeout=20)
        # The route that the first destination has leads elsewhere than the second one's.
        route = ["ip", "route", "add", f"{SERVICE}/32", "dev", POD_A]
        subprocess.run(route, check=True, timeout=20)
        yield built


def enforce(node: World, port: int, action: Action, **stages: Any) -> None:
    """Have the node enforce a policy about *port* at its uplink, at these *stages*."""
    about = Rule(action=action, protocol=TCP, destination=Match(ports=(PortRange(port, port),)))
    state = PolicyState(
        endpoints={
            name: EndpointPolicy(
                interface=name, endpoint=name, addresses=ADDRESSES[name][4], profiles=(OPEN,)
            )
            for name in (POD_A, POD_B)
        },
        policies={P: PolicyRules(ingress=(about,), egress=(about,))},
        profiles={OPEN: ANYTHING},
        host=HostState(
            endpoints={OUTSIDE: HostEndpointPolicy(interface=OUTSIDE, endpoint="up", **stages)},
            failsafe_outbound=(FailsafePort(UDP, 67),),
        ),
    )
    with inside(node.node):
        table = KernelTable()
        NftApplier(table).apply(state)
        table.close()


def arrives(node: World, source: str, sent: Flow, seen: Flow, number: int) -> frozenset[int]:
    """Return *number* if *sent* arrives where *seen*, what becomes of it, is to arrive."""
    node.send(source, number, sent)
    return node.collect({number: seen}, frozenset())


def tier(end: Action) -> tuple[TierPolicies, ...]:
    return (TierPolicies(tier="t", policies=(P,), end=end),)


@pytest.mark.parametrize(
    ("port", "number", "expected"),
    [
        pytest.param(NODE_PORT, 1, set(), id="of-the-node"),
        pytest.param(TARGET_PORT, 2, {2}, id="of-the-pod"),
    ],
)
def test_early_policy_sees_the_destination_before_translation(
    node: World, port: int, number: int, expected: set[int]
) -> None:
    """v3 2.10: preDNAT sees the node port."""
    enforce(node, port, Action.DENY, pre_dnat=tier(Action.PASS))
    to_node = Flow(source=PEER, destination=NODE[4], protocol=TCP, source_port=2000 + number,
                   destination_port=NODE_PORT)  # fmt: skip
    to_pod = Flow(source=PEER, destination=POD, protocol=TCP, destination_port=TARGET_PORT)

    assert expected == arrives(node, OUTSIDE, to_node, to_pod, number)


@pytest.mark.parametrize(
    ("port", "number", "expected"),
    [
        pytest.param(SERVICE_PORT, 3, set(), id="of-the-service"),
        pytest.param(TARGET_PORT, 4, {4}, id="of-its-endpoint"),
    ],
)
def test_egress_policy_of_the_host_sees_the_destination_after_translation(
    node: World, port: int, number: int, expected: set[int]
) -> None:
    """Trap 10: at the interface that the packet leaves by, not the one it was first sent to."""
    enforce(node, port, Action.ALLOW, egress=tier(Action.DENY))
    to_service = Flow(source=NODE[4], destination=SERVICE, protocol=TCP,
                      source_port=2000 + number, destination_port=SERVICE_PORT)  # fmt: skip
    to_peer = Flow(source=NODE[4], destination=PEER, protocol=TCP, destination_port=TARGET_PORT)

    assert expected == arrives(node, HOST, to_service, to_peer, number)
