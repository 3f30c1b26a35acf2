"""Real packets through real rulesets: the kernel decides as the policy says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from chita.compute.flow import Flow
from chita.dataplane.nftables.applier import NftApplier
from chita.dataplane.nftables.applier import Outcome as Applied
from chita.dataplane.nftables.libnft import Libnft
from chita.dataplane.nftables.ruleset import policy_ruleset
from chita.dataplane.nftables.table import KernelTable
from chita.dataplane.nftables.trace import Outcome, trace
from chita.desired.policy import EndpointPolicy, PolicyRules, PolicyState, Rule
from chita.model.net import TCP, UDP, Address, Cidr
from chita.model.policy import Action
from chita.model.settings import HostAction
from network_namespace import needs_root, run_inside
from nftables_world import World, inside, world
from policy_states import ADDRESSES, FLOWS, NODE, OUTSIDE, POD_A, POD_B, packet, policy_states

pytestmark = [pytest.mark.kernel, needs_root]


@pytest.fixture(scope="module")
def node() -> Iterator[World]:
    with world() as built:
        yield built


@pytest.fixture(scope="module")
def applier(node: World) -> Iterator[NftApplier]:
    # The door to a namespace is opened, and read through, inside it.
    with inside(node.node):
        table = KernelTable()
        yield NftApplier(table)
        table.close()


def test_without_policy_every_packet_arrives(node: World, applier: NftApplier) -> None:
    """The world itself drops nothing: what is missing later, policy has dropped."""
    applier.remove()
    flows = dict(enumerate(FLOWS))

    assert frozenset(flows) == node.arrivals(flows, frozenset(flows))


@pytest.mark.slow
@settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(state=policy_states())
def test_the_kernel_decides_as_the_tracer(
    node: World, applier: NftApplier, state: PolicyState
) -> None:
    ruleset = policy_ruleset(state)
    flows = dict(enumerate(FLOWS))
    expected = frozenset(
        number
        for number, flow in flows.items()
        if trace(ruleset, packet(flow)).outcome is Outcome.ACCEPT
    )
    applier.apply(state)

    arrived = node.arrivals(flows, expected)

    assert expected == arrived, [FLOWS[number] for number in sorted(expected ^ arrived)]


ALLOW_ALL = PolicyRules(ingress=(Rule(action=Action.ALLOW),), egress=(Rule(action=Action.ALLOW),))
DENY_OUT = PolicyRules(ingress=(Rule(action=Action.ALLOW),))
A, B, FAR = ADDRESSES[POD_A][4][0], ADDRESSES[POD_B][4][0], ADDRESSES[OUTSIDE][4][2]


def pods(*names: str, profile: PolicyRules = ALLOW_ALL) -> PolicyState:
    """Return the state in which the named pods have *profile*."""
    return PolicyState(
        endpoints={
            name: EndpointPolicy(
                interface=name,
                endpoint=f"shop/{name}",
                addresses=ADDRESSES[name][4] + ADDRESSES[name][6],
                profiles=("p",),
            )
            for name in names
        },
        profiles={"p": profile},
    )


def test_unknown_pods_are_cut_off(node: World, applier: NftApplier) -> None:
    applier.apply(pods(POD_A))
    flows = dict(enumerate(FLOWS))
    known = frozenset(
        number
        for number, flow in flows.items()
        if {flow.source, flow.destination}.isdisjoint(ADDRESSES[POD_B][flow.source.family])
    )

    assert known == node.arrivals(flows, known, unknown=frozenset({POD_B}))


def test_a_pod_sends_from_its_own_addresses_only(node: World, applier: NftApplier) -> None:
    applier.apply(pods(POD_A, POD_B))
    true = Flow(source=A, destination=FAR, protocol=UDP, destination_port=80)
    spoofed = msgspec.structs.replace(true, source=B)
    node.send(POD_A, 1, spoofed)
    node.send(POD_A, 2, true)

    assert frozenset({2}) == node.collect({1: spoofed, 2: true}, frozenset({2}))


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        pytest.param(pods(POD_A, POD_B), True, id="allowed"),
        pytest.param(pods(POD_A, POD_B, profile=DENY_OUT), False, id="egress-denied"),
        pytest.param(
            msgspec.structs.replace(pods(POD_A, POD_B), endpoint_to_host=HostAction.DROP),
            False,
            id="setting-drops",
        ),
    ],
)
def test_a_pod_reaches_its_host_as_policy_and_setting_say(
    node: World, applier: NftApplier, state: PolicyState, *, expected: bool
) -> None:
    applier.apply(state)
    with (
        inside(node.node),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener,
    ):
        listener.bind((str(NODE[4]), 5353))
        listener.settimeout(0.3)
        flow = Flow(source=A, destination=NODE[4], protocol=UDP, destination_port=5353)
        node.send(POD_A, 1, flow)
        try:
            arrived = bool(listener.recv(2048))
        except TimeoutError:
            arrived = False

    assert expected is arrived


def test_what_others_did_to_the_table_is_undone(node: World, applier: NftApplier) -> None:
    state = pods(POD_A, POD_B)
    applier.apply(state)
    nft = Libnft()
    with inside(node.node):
        nft.run("add rule inet chita forward-egress accept")
        undone = applier.apply(state).outcome
        nft.run("add table inet somebodys; delete table inet somebodys")
        others = applier.apply(state).outcome
        nft.run("delete table inet chita")
        remade = applier.apply(state).outcome
    nft.close()

    assert [Applied.REPAIRED, Applied.UNCHANGED, Applied.CREATED] == [undone, others, remade]


@pytest.mark.slow
def test_no_allowed_packet_is_lost_while_agents_restart(node: World, applier: NftApplier) -> None:
    """A restarted agent that finds another state's table changes it in one commit."""
    one = pods(POD_A, POD_B)
    # Other chains for both pods, and another base chain.
    two = msgspec.structs.replace(
        one,
        endpoint_to_host=HostAction.DROP,
        endpoints={
            name: msgspec.structs.replace(each, profiles=("q",))
            for name, each in one.endpoints.items()
        },
        profiles={"q": ALLOW_ALL},
    )
    applier.apply(one)
    flow = Flow(source=A, destination=B, protocol=UDP, destination_port=80)
    done = threading.Event()
    sent: list[Flow] = []

    def send() -> None:
        while not done.is_set() and len(sent) < 15_000:
            # Each of another source port: each is a new flow, which policy is asked about.
            each = msgspec.structs.replace(flow, source_port=1024 + len(sent))
            node.send(POD_A, len(sent), each)
            sent.append(each)

    sender = threading.Thread(target=send)
    sender.start()
    with inside(node.node):
        outcomes = []
        for state in (two, one) * 10:
            fresh = KernelTable()
            outcomes.append(NftApplier(fresh).apply(state).outcome)
            fresh.close()
    done.set()
    sender.join()
    numbered = dict(enumerate(sent))

    assert frozenset(numbered) == node.collect(numbered, frozenset(numbered))
    assert set(outcomes) == {Applied.REPAIRED}


def test_pods_reach_the_world_under_their_nodes_address(node: World, applier: NftApplier) -> None:
    pool = (Cidr.parse("10.244.0.0/16"),)
    state = pods(POD_A, POD_B)
    applier.apply(msgspec.structs.replace(state, masquerade_sources=pool, cluster_networks=pool))
    ports = {NODE[4]: 40001, A: 40002}
    far_pod = ADDRESSES[OUTSIDE][4][0]
    sources = {}
    for target, port in ((FAR, ports[NODE[4]]), (far_pod, ports[A])):
        flow = Flow(source=A, destination=target, protocol=UDP, source_port=port,
                    destination_port=80)  # fmt: skip
        with node.captured(OUTSIDE) as frames:
            node.send(POD_A, 1, flow)
        sources[target] = Address.from_packed(frames[0][12:16])

    assert {FAR: NODE[4], far_pod: A} == sources


def test_tcp_is_told_what_the_route_carries(node: World, applier: NftApplier) -> None:
    """A SYN that asks for 1460 leaves with the route's 1400, less 40 of headers."""
    applier.apply(pods(POD_A, POD_B))
    run_inside(node.node, "ip", "route", "replace", f"{FAR}", "dev", OUTSIDE, "mtu", "1400")
    try:
        flow = Flow(source=A, destination=FAR, protocol=TCP, source_port=40003, destination_port=80)
        with node.captured(OUTSIDE) as frames:
            node.send(POD_A, 1, flow)
    finally:
        run_inside(node.node, "ip", "route", "replace", f"{FAR}", "dev", OUTSIDE)
    # Option 2 of four bytes follows the TCP header (RFC 9293 section 3.2).
    option = frames[0][40:44]

    assert bytes((2, 4)) + (1360).to_bytes(2) == option
