"""A change of policy ends established flows that it denies, and no others."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from chita.dataplane.conntrack import Conntrack, open_conntrack
from chita.dataplane.flows import end_denied
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.dataplane.nftables.applier import NftApplier
from chita.dataplane.nftables.table import KernelTable
from chita.desired.policy import (
    EndpointPolicy,
    Match,
    PolicyRules,
    PolicyState,
    Rule,
    TierPolicies,
)
from chita.model.net import TCP, PortRange
from chita.model.policy import Action
from network_namespace import needs_root, run_inside
from nftables_world import World, inside, world
from policy_states import ADDRESSES, NODE, POD_A, POD_B

pytestmark = [pytest.mark.kernel, needs_root]

ALLOW_ALL = PolicyRules(ingress=(Rule(action=Action.ALLOW),), egress=(Rule(action=Action.ALLOW),))
WEB = "NetworkPolicy/shop/web"
KEPT, CUT = 8081, 8080


@pytest.fixture(scope="module")
def node() -> Iterator[World]:
    with world() as built:
        for pod in (POD_A, POD_B):
            run_inside(built.places[pod], "nft", "delete", "table", "inet", "quiet")
        yield built


def state(*ports: int) -> PolicyState:
    """Return the state in which pod B receives TCP at *ports* only."""
    rules = tuple(
        Rule(
            action=Action.ALLOW,
            protocol=TCP,
            destination=Match(ports=(PortRange(port, port),)),
        )
        for port in ports
    )
    tier = TierPolicies(tier="default", policies=(WEB,), end=Action.DENY)
    pods = {
        name: EndpointPolicy(
            interface=name,
            endpoint=f"shop/{name}",
            addresses=ADDRESSES[name][4] + ADDRESSES[name][6],
            profiles=("p",),
        )
        for name in (POD_A, POD_B)
    }
    pods[POD_B] = msgspec.structs.replace(pods[POD_B], ingress=(tier,))
    return PolicyState(
        endpoints=pods, policies={WEB: PolicyRules(ingress=rules)}, profiles={"p": ALLOW_ALL}
    )


class Talk:
    """An established TCP connection from pod A to pod B."""

    def __init__(self, places: dict[str, Path], family: int, port: int, stack: ExitStack) -> None:
        kind = socket.AF_INET if family == 4 else socket.AF_INET6
        target = str(ADDRESSES[POD_B][family][0]), port  # type: ignore[index] # 4 or 6
        with inside(places[POD_B]):
            listener = stack.enter_context(socket.create_server(target, family=kind))
        with inside(places[POD_A]):
            self.client = stack.enter_context(socket.socket(kind))
        self.client.settimeout(2)
        self.client.connect(target)
        self.server, _ = listener.accept()
        stack.enter_context(self.server)

    def works(self, *, within_s: float = 0.6) -> bool:
        """Return whether what either side sends comes to the other one in time."""
        arrived = []
        for sender, receiver in ((self.server, self.client), (self.client, self.server)):
            sender.sendall(b"x")
            receiver.settimeout(within_s)
            try:
                arrived.append(receiver.recv(16) != b"")
            except TimeoutError:
                arrived.append(False)
        assert arrived[0] is arrived[1], "one direction goes on"
        return arrived[0]


@pytest.mark.slow
@pytest.mark.parametrize("family", [pytest.param(4, id="ipv4"), pytest.param(6, id="ipv6")])
def test_a_denied_connection_is_cut_and_an_allowed_one_goes_on(node: World, family: int) -> None:
    before, after = state(KEPT, CUT), state(KEPT)
    places = dict(node.places)
    own = frozenset(NODE.values())
    with ExitStack() as stack:
        with inside(node.node):
            table = KernelTable()
            stack.callback(table.close)
            applier = NftApplier(table)
            applier.apply(before)
            like = stack.enter_context(NetlinkSocket())
            connections = Conntrack(stack.enter_context(open_conntrack(like)))
        kept, cut = (Talk(places, family, port, stack) for port in (KEPT, CUT))
        assert kept.works()
        assert cut.works()

        started = time.monotonic()
        with inside(node.node):
            applier.apply(after)
            assert applier.ruleset is not None
            ended = end_denied(before, after, applier.ruleset, own, connections.end)
        taken_s = time.monotonic() - started

        assert ended == 1
        assert taken_s < 1
        # First the side that may not be called: it would go on as the caller.
        assert not cut.works()
        assert kept.works()
        with inside(node.node):
            applier.remove()
