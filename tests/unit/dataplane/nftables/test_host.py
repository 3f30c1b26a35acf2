"""The base chains: which packets meet policy at all, by hook."""

from __future__ import annotations

import msgspec
import pytest

from build import addresses, cidrs
from chita.dataplane.nftables.objects import CtState
from chita.dataplane.nftables.ruleset import policy_ruleset
from chita.dataplane.nftables.trace import Outcome, Packet, Path, Trace, trace
from chita.desired.policy import (
    EndpointPolicy,
    PolicyRules,
    PolicyState,
    Rule,
    TransitGuard,
    VxlanGuard,
)
from chita.model.net import ICMPV6, TCP, UDP, Address, Cidr
from chita.model.policy import Action
from chita.model.settings import DeniedFlows, HostAction

POD, NODE, FAR = (Address.parse(text) for text in ("10.244.0.1", "10.0.0.1", "203.0.113.7"))
POD6, NODE6 = Address.parse("fd00:10:244::1"), Address.parse("fd00:10::1")
FAR_POD, FAR_NODE = Address.parse("10.244.7.7"), Address.parse("10.0.0.9")
LINK_LOCAL, ANY6 = Address.parse("fe80::1"), Address.parse("::")
ROUTERS = Address.parse("ff02::2")
YES, NO = Outcome.ACCEPT, Outcome.DROP


def node(
    host: HostAction = HostAction.ACCEPT,
    *,
    egress: Action = Action.ALLOW,
    ingress: Action = Action.ALLOW,
) -> PolicyState:
    """Return a node with one pod whose profile has these rules."""
    profile = PolicyRules(ingress=(Rule(action=ingress),), egress=(Rule(action=egress),))
    pod = EndpointPolicy(
        interface="cali1", endpoint="shop/web", addresses=(POD, POD6), profiles=("p",)
    )
    return PolicyState(
        endpoints={"cali1": pod},
        profiles={"p": profile},
        endpoint_to_host=host,
        masquerade_sources=(Cidr.parse("10.244.0.0/16"),),
        cluster_networks=(Cidr.parse("10.244.0.0/16"), Cidr.parse("10.0.0.0/24")),
    )


def packet(
    source: Address,
    destination: Address,
    iif: str = "",
    oif: str = "",
    *,
    protocol: int = TCP,
    icmp: int = 0,
    state: CtState = CtState.NEW,
) -> Packet:
    return Packet(
        source=source, destination=destination, protocol=protocol, iif=iif, oif=oif,
        destination_port=80, source_port=40000, icmp_type=icmp, state=state,
    )  # fmt: skip


def walk(state: PolicyState, sent: Packet, path: Path) -> Trace:
    return trace(policy_ruleset(state), sent, path)


ESTABLISHED, INVALID = CtState.ESTABLISHED, CtState.INVALID
DENY_OUT, DENY_IN = node(egress=Action.DENY), node(ingress=Action.DENY)


@pytest.mark.parametrize(
    ("state", "sent", "expected"),
    [
        pytest.param(node(), packet(POD, FAR, "cali1", "eth0"), YES, id="out"),
        pytest.param(node(), packet(FAR, POD, "eth0", "cali1"), YES, id="in"),
        pytest.param(node(), packet(FAR, NODE, "eth0", "wg0"), YES, id="transit"),
        pytest.param(DENY_OUT, packet(POD, FAR, "cali1", "eth0"), NO, id="egress-denied"),
        pytest.param(DENY_OUT, packet(FAR, POD, "eth0", "cali1"), YES, id="egress-is-not-ingress"),
        pytest.param(DENY_IN, packet(FAR, POD, "eth0", "cali1"), NO, id="ingress-denied"),
        pytest.param(DENY_IN, packet(POD, POD, "cali1", "cali1"), NO,
                     id="egress-does-not-skip-ingress"),
        pytest.param(node(), packet(POD, FAR, "cali9", "eth0"), NO, id="spoofed-interface"),
        pytest.param(node(), packet(FAR, POD, "eth0", "cali9"), NO, id="unknown-destination"),
        pytest.param(node(), packet(FAR, POD, "cali1", "eth0"), NO, id="spoofed-source"),
        pytest.param(DENY_OUT, packet(POD, FAR, "cali1", "eth0", state=ESTABLISHED), YES,
                     id="established-out"),
        pytest.param(DENY_IN, packet(FAR, POD, "eth0", "cali1", state=CtState.RELATED), YES,
                     id="related-in"),
        pytest.param(node(), packet(POD, FAR, "cali1", "eth0", state=INVALID), NO,
                     id="invalid-out"),
        pytest.param(node(), packet(FAR, POD, "eth0", "cali1", state=INVALID), NO,
                     id="invalid-in"),
        # A relay sees one direction of a flow that returns another way.
        pytest.param(node(), packet(FAR, NODE, "eth0", "wg0", state=INVALID), YES,
                     id="invalid-transit"),
        pytest.param(node(), packet(FAR, POD, "cali1", "eth0", state=ESTABLISHED), NO,
                     id="spoofed-established"),
    ],
)  # fmt: skip
def test_forward(state: PolicyState, sent: Packet, expected: Outcome) -> None:
    assert expected is walk(state, sent, Path.FORWARD).outcome


DROP_HOST = node(HostAction.DROP)


@pytest.mark.parametrize(
    ("state", "sent", "expected"),
    [
        pytest.param(node(), packet(POD, NODE, "cali1"), YES, id="pod-to-host"),
        pytest.param(DENY_OUT, packet(POD, NODE, "cali1"), NO, id="egress-denied"),
        pytest.param(DROP_HOST, packet(POD, NODE, "cali1"), NO, id="setting-drops"),
        pytest.param(DROP_HOST, packet(POD, NODE, "cali1", state=ESTABLISHED), YES,
                     id="answer-to-a-probe"),
        pytest.param(node(), packet(POD, NODE, "cali9"), NO, id="unknown-interface"),
        pytest.param(DENY_OUT, packet(FAR, NODE, "eth0"), YES, id="not-a-pod"),
        pytest.param(DROP_HOST, packet(POD6, NODE6, "cali1", protocol=ICMPV6, icmp=135), YES,
                     id="neighbour-solicitation"),
        pytest.param(DROP_HOST, packet(LINK_LOCAL, NODE6, "cali1", protocol=ICMPV6, icmp=136), YES,
                     id="neighbour-advertisement"),
        pytest.param(DROP_HOST, packet(ANY6, ROUTERS, "cali1", protocol=ICMPV6, icmp=133), YES,
                     id="router-solicitation"),
        pytest.param(node(), packet(LINK_LOCAL, NODE6, "cali1", protocol=ICMPV6, icmp=134), NO,
                     id="router-advertisement"),
        pytest.param(node(), packet(POD6, NODE6, "cali1", protocol=ICMPV6, icmp=134), NO,
                     id="router-advertisement-from-own-address"),
        pytest.param(node(), packet(LINK_LOCAL, NODE6, "cali1", protocol=UDP), NO,
                     id="link-local-is-for-neighbours-only"),
        pytest.param(node(), packet(POD, NODE, "cali1", state=INVALID), NO, id="invalid"),
    ],
)  # fmt: skip
def test_input(state: PolicyState, sent: Packet, expected: Outcome) -> None:
    assert expected is walk(state, sent, Path.INPUT).outcome


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param(packet(NODE, POD, oif="cali1"), YES, id="own-pod"),
        pytest.param(packet(NODE, POD, oif="cali9"), NO, id="unknown-pod"),
        pytest.param(packet(NODE, FAR, oif="eth0"), YES, id="elsewhere"),
    ],
)
def test_output(sent: Packet, expected: Outcome) -> None:
    """A node reaches its own pods whatever their policy: probes must (v3 2.14)."""
    assert expected is walk(DENY_IN, sent, Path.OUTPUT).outcome


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param(packet(POD, FAR, "cali1", "eth0"), True, id="to-the-world"),
        pytest.param(packet(POD, FAR_POD, "cali1", "wg0"), False, id="to-a-pod"),
        pytest.param(packet(POD, FAR_NODE, "cali1", "eth0"), False, id="to-a-node"),
        pytest.param(packet(NODE, FAR, "eth1", "eth0"), False, id="not-from-a-pool"),
        pytest.param(packet(POD6, Address.parse("2001:db8::7"), "cali1", "eth0"), False,
                     id="pool-of-the-other-family"),
    ],
)  # fmt: skip
def test_masquerade(sent: Packet, *, expected: bool) -> None:
    assert expected is walk(node(), sent, Path.FORWARD).masqueraded


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        pytest.param(CtState.NEW, True, id="first"),
        # The answer to a SYN is established already and needs it as much.
        pytest.param(CtState.ESTABLISHED, True, id="answer"),
    ],
)
def test_both_syns_are_clamped(state: CtState, *, expected: bool) -> None:
    sent = Packet(
        source=FAR, destination=POD, protocol=TCP, iif="wg0", oif="cali1", state=state, syn=True
    )

    assert expected is walk(node(), sent, Path.FORWARD).clamped


TUNNELS = msgspec.structs.replace(node(), vxlan_port=4789)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param(Packet(source=POD, destination=FAR_NODE, protocol=UDP, destination_port=4789,
                            iif="cali1", oif="eth0"), NO, id="vxlan"),
        pytest.param(Packet(source=POD, destination=FAR_NODE, protocol=UDP, destination_port=53,
                            iif="cali1", oif="eth0"), YES, id="other-udp"),
        pytest.param(Packet(source=POD, destination=FAR_NODE, protocol=4, iif="cali1", oif="eth0"),
                     NO, id="ipip"),
        pytest.param(Packet(source=FAR_NODE, destination=FAR, protocol=UDP, destination_port=4789,
                            iif="eth0", oif="wg0"), YES, id="nodes-between-each-other"),
    ],
)  # fmt: skip
def test_pods_do_not_tunnel_past_policy(sent: Packet, expected: Outcome) -> None:
    assert expected is walk(TUNNELS, sent, Path.FORWARD).outcome
    assert walk(node(), sent, Path.FORWARD).outcome is YES


GUARD = TransitGuard(4790, cidrs("100.64.0.0/16 fd00:100:64::/64"))
MESH, OTHER_MESH = addresses("100.64.0.1 100.64.0.2")
MESH6, OTHER_MESH6, FAR6 = addresses("fd00:100:64::1 fd00:100:64::2 2001:db8::2")


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param(packet(OTHER_MESH, MESH, "chita-wg0"), YES, id="node"),
        pytest.param(packet(OTHER_MESH6, MESH6, "chita-wg0"), YES, id="node-ipv6"),
        pytest.param(packet(FAR_NODE, MESH, "eth0"), NO, id="from-the-underlay"),
        pytest.param(packet(OTHER_MESH, NODE, "eth0"), NO, id="false-source-to-the-underlay"),
        pytest.param(packet(POD, MESH, "cali1"), NO, id="pod"),
        pytest.param(packet(FAR6, MESH6, "eth0"), NO, id="from-the-underlay-ipv6"),
    ],
)  # fmt: skip
def test_only_nodes_have_packets_unwrapped(sent: Packet, expected: Outcome) -> None:
    """What is inside comes past every policy of where it left."""
    guarded = msgspec.structs.replace(node(), transit=GUARD)
    wrapped = msgspec.structs.replace(sent, protocol=UDP, destination_port=4790)
    other = msgspec.structs.replace(wrapped, destination_port=4791)

    assert expected is walk(guarded, wrapped, Path.INPUT).outcome
    assert walk(guarded, other, Path.INPUT).outcome is YES


NEIGHBOURS = VxlanGuard(4789, frozenset({FAR_NODE}))


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param(packet(FAR_NODE, NODE, "eth0"), YES, id="neighbour"),
        pytest.param(packet(FAR, NODE, "eth0"), NO, id="from-the-underlay"),
        pytest.param(packet(FAR6, NODE6, "eth0"), NO, id="from-the-underlay-ipv6"),
        pytest.param(packet(POD, NODE, "cali1"), NO, id="pod"),
    ],
)
def test_only_neighbours_have_vxlan_unwrapped(sent: Packet, expected: Outcome) -> None:
    """A node without a VXLAN device asks nobody."""
    guarded = msgspec.structs.replace(node(), vxlan=NEIGHBOURS)
    wrapped = msgspec.structs.replace(sent, protocol=UDP, destination_port=4789)
    other = msgspec.structs.replace(wrapped, destination_port=4791)

    assert expected is walk(guarded, wrapped, Path.INPUT).outcome
    assert walk(guarded, other, Path.INPUT).outcome is YES
    assert walk(node(), wrapped, Path.INPUT).outcome is YES


KEEP = msgspec.structs.replace(node(), denied_flows=DeniedFlows.KEEP)


@pytest.mark.parametrize(
    ("sent", "path"),
    [
        pytest.param(packet(POD, FAR, "cali1", "eth0"), Path.FORWARD, id="out"),
        pytest.param(packet(FAR, POD, "eth0", "cali1"), Path.FORWARD, id="in"),
        pytest.param(packet(POD, NODE, "cali1"), Path.INPUT, id="to-the-host"),
    ],
)
def test_tcp_begins_with_syn(sent: Packet, path: Path) -> None:
    """The middle of a flow that was ended is not the beginning of one the other way."""
    middle = msgspec.structs.replace(sent, syn=False)

    assert (walk(node(), sent, path).outcome, walk(node(), middle, path).outcome) == (YES, NO)
    assert walk(KEEP, middle, path).outcome is YES
