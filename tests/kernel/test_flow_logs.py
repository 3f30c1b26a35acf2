"""Verdicts are told to NFLOG groups as FabricConfiguration asks, and to nobody otherwise."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from chita.compute.flow import Flow
from chita.convert.fabric import settings
from chita.dataplane.netlink.message import attribute, attributes, message, messages, string
from chita.dataplane.nftables.applier import NftApplier
from chita.dataplane.nftables.table import KernelTable
from chita.desired.policy import EndpointPolicy, PolicyRules, PolicyState, Rule, TierPolicies
from chita.model.net import UDP
from chita.model.policy import Action
from network_namespace import needs_root
from nftables_world import World, inside, world
from policy_states import ADDRESSES, POD_A, POD_B

pytestmark = [pytest.mark.kernel, needs_root]

_ULOG = 4 << 8
"""NFNL_SUBSYS_ULOG (linux/netfilter/nfnetlink.h); what follows is of nfnetlink_log.h."""
_PACKET, _CONFIG = _ULOG | 0, _ULOG | 1
_REQUEST_ACK = 1 | 4
_PATIENCE_S = 5.0


class Listener:
    """Hears what is told to one NFLOG group of the namespace in which it was made."""

    def __init__(self, group: int) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
        self._socket.bind((0, 0))
        self._socket.settimeout(_PATIENCE_S)
        bind = attribute(1, bytes([1]))  # NFULA_CFG_CMD: NFULNL_CFG_CMD_BIND
        copy = attribute(2, struct.pack("!IBx", 128, 2))  # NFULA_CFG_MODE: NFULNL_COPY_PACKET
        at_once = attribute(5, struct.pack("!I", 1))  # NFULA_CFG_QTHRESH
        for each in (bind, copy, at_once):
            body = struct.pack("!BBH", 0, 0, group) + each
            self._socket.send(message(_CONFIG, _REQUEST_ACK, 1, body))
            answer = self._socket.recv(4096)
            assert struct.unpack_from("=i", answer, 16) == (0,), f"NFLOG group {group}: {answer!r}"

    def heard(self, count: int) -> list[tuple[str, bytes]]:
        """Return prefix and packet of the next *count*."""
        found: list[tuple[str, bytes]] = []
        deadline = time.monotonic() + _PATIENCE_S
        while len(found) < count and time.monotonic() < deadline:
            for kind, _, _, _, body in messages(self._socket.recv(1 << 16)):
                if kind == _PACKET:
                    parts = dict(attributes(body, 4))
                    # NFULA_PREFIX, NFULA_PAYLOAD
                    found.append((string(parts[10]), parts[9]))
        return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(scope="module")
def node() -> Iterator[World]:
    with world() as built:
        yield built


@contextmanager
def listening(node: World, group: int) -> Iterator[Listener]:
    with inside(node.node):
        listener = Listener(group)
    try:
        yield listener
    finally:
        listener.close()


A_TO_B = Flow(
    source=ADDRESSES[POD_A][4][0],
    destination=ADDRESSES[POD_B][4][0],
    protocol=UDP,
    source_port=40000,
    destination_port=53,
)
WEB = "NetworkPolicy/shop/web"


def pods() -> PolicyState:
    """Return the state in which both pods send and take everything."""
    rules = (Rule(action=Action.ALLOW),)
    return PolicyState(
        endpoints={
            name: EndpointPolicy(
                interface=name,
                endpoint=f"shop/{name}",
                addresses=ADDRESSES[name][4] + ADDRESSES[name][6],
                profiles=("p",),
            )
            for name in (POD_A, POD_B)
        },
        profiles={"p": PolicyRules(ingress=rules, egress=rules)},
    )


def state(spec: dict[str, Any]) -> PolicyState:
    """Return the state in which b takes what policy web allows, with the settings of *spec*."""
    fabric = {"kind": "FabricConfiguration", "metadata": {"name": "default"}, "spec": spec}
    known, problems = settings([fabric])
    assert not problems
    plain = pods()
    tier = TierPolicies(tier="default", policies=(WEB,), end=Action.DENY)
    guarded = msgspec.structs.replace(plain.endpoints[POD_B], ingress=(tier,))
    return msgspec.structs.replace(
        plain,
        endpoints={**plain.endpoints, POD_B: guarded},
        policies={WEB: PolicyRules(ingress=(Rule(action=Action.ALLOW, protocol=UDP),))},
        flow_log_groups=known.flow_log_groups,
    )


def test_a_verdict_is_told_with_its_packet(node: World) -> None:
    """The prefix is Felix's: action, owner, direction, rule and name; the group is the setting's.

    The same packets without the setting tell nobody: what is heard second is of the second state.
    """
    with listening(node, 41) as ingress, listening(node, 42) as egress, inside(node.node):
        table = KernelTable()
        applier = NftApplier(table)
        applier.apply(state({}))
        assert node.arrivals({1: A_TO_B}, frozenset({1})) == {1}
        applier.apply(state({"flowLogGroups": {"ingress": 41, "egress": 42}}))
        again = msgspec.structs.replace(A_TO_B, source_port=40001)
        assert node.arrivals({2: again}, frozenset({2})) == {2}
        table.close()

        [(in_prefix, in_packet)] = ingress.heard(1)
        [(out_prefix, _)] = egress.heard(1)

    assert in_prefix == f"API0|{WEB}"
    assert out_prefix == "ARE0|p"
    assert in_packet[12:20] == again.source.packed + again.destination.packed
    assert in_packet[20:24] == struct.pack("!HH", 40001, 53)
