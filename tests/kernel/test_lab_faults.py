"""Faults break what they say and nothing else, and mending restores all of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from chita.errors import NotFoundError
from chita.lab.faults import (
    CloudCutOff,
    ForwardingBroken,
    LinkDown,
    NatRestarted,
    NatSwitched,
    PacketLoss,
    UdpBlocked,
    UnderlayFault,
    WanMtu,
)
from chita.lab.faults_underlay import break_underlay, mend_underlay
from chita.lab.netns import entered
from chita.lab.ping import ping
from chita.lab.underlay import NatKind
from chita.model.net import Address
from lab_worlds import Standing, node, standing, underlay, world
from network_namespace import needs_root

pytestmark = [pytest.mark.kernel, needs_root]

TWO_CLOUDS = world(
    underlay("aws", provider="aws", privateCIDRs=["10.0.0.0/24", "fd00:a::/64"]),
    node("one", "aws", public=["198.18.1.11"]),
    node("two", "aws"),
)

NEIGHBOUR, NEIGHBOUR_6 = "10.0.0.11", "fd00:a::b"
CONTROL, CONTROL_6 = "198.18.0.10", "fd00:198:18::10"
EVERYTHING = {NEIGHBOUR, NEIGHBOUR_6, CONTROL, CONTROL_6}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    with standing(TWO_CLOUDS, tmp_path_factory.mktemp("faults")) as standing_lab:
        yield standing_lab


def reached(lab: Standing) -> set[str]:
    """Return which of all addresses node ``two`` reaches."""

    async def run() -> set[str]:
        results = await asyncio.gather(
            *(
                ping(lab.path("two"), Address.parse(address), count=2, timeout_s=0.3)
                for address in sorted(EVERYTHING)
            )
        )
        return {
            address
            for address, result in zip(sorted(EVERYTHING), results, strict=True)
            if result.received
        }

    return asyncio.run(run())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "left"),
    [
        pytest.param(LinkDown("two"), set(), id="own-link"),
        pytest.param(LinkDown("one"), {CONTROL, CONTROL_6}, id="neighbours-link"),
        pytest.param(CloudCutOff("aws"), {NEIGHBOUR, NEIGHBOUR_6}, id="cut-off"),
        pytest.param(PacketLoss("aws", 100), {NEIGHBOUR, NEIGHBOUR_6}, id="all-lost"),
        pytest.param(PacketLoss("aws", 0), EVERYTHING, id="none-lost"),
        pytest.param(UdpBlocked("aws"), {NEIGHBOUR, NEIGHBOUR_6}, id="only-443"),
        pytest.param(WanMtu("aws", 80), {NEIGHBOUR, NEIGHBOUR_6}, id="too-long"),
        pytest.param(WanMtu("aws", 84), EVERYTHING, id="just-not-too-long"),
        pytest.param(ForwardingBroken("two"), EVERYTHING, id="own-packets-pass"),
        pytest.param(NatRestarted("aws"), EVERYTHING, id="nat-restarted"),
    ],
)
def test_fault(lab: Standing, fault: UnderlayFault, left: set[str]) -> None:
    """Breaking twice and mending twice is once."""
    try:
        break_underlay(fault, lab.topology)
        break_underlay(fault, lab.topology)
        assert left == reached(lab)
    finally:
        mend_underlay(fault, lab.topology)
        mend_underlay(fault, lab.topology)

    assert reached(lab) == EVERYTHING


@pytest.mark.slow
def test_some_loss(lab: Standing) -> None:
    """Of echoes that lose 30 % each way, 49 % come back: 10 of 400 is six deviations."""
    fault = PacketLoss("aws", 30)
    break_underlay(fault, lab.topology)
    try:
        destination = Address.parse(CONTROL)
        result = asyncio.run(ping(lab.path("two"), destination, count=400, timeout_s=0.01))
    finally:
        mend_underlay(fault, lab.topology)

    assert 136 <= result.received <= 256


def seen_from_outside(lab: Standing, *, ports: int) -> list[tuple[str, int]]:
    """Return as whom *ports* hosts outside see one socket of node ``two``, and its own port."""
    servers = []
    with entered(lab.path("control")):
        for _ in range(ports):
            server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            server.bind((CONTROL, 0))
            server.settimeout(2)
            servers.append(server)
    with entered(lab.path("two")):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with closing(client), ExitStack() as stack:
        for server in servers:
            stack.enter_context(closing(server))
            client.sendto(b"", server.getsockname())
        seen = [server.recvfrom(1)[1] for server in servers]
        return [("own", client.getsockname()[1]), *seen]


@pytest.mark.slow
def test_nat_restarted(lab: Standing) -> None:
    """Nodes without a public address are seen as another; back to the first when mended."""
    fault, again = NatRestarted("aws"), NatRestarted("aws", 2)
    addresses = []
    for one in (fault, again):
        break_underlay(one, lab.topology)
        addresses.append(seen_from_outside(lab, ports=1)[1][0])
        mend_underlay(one, lab.topology)
    after = seen_from_outside(lab, ports=1)[1][0]

    assert ["198.18.1.202", "198.18.1.203", "198.18.1.1"] == [*addresses, after]


@pytest.mark.slow
def test_nat_switched(lab: Standing) -> None:
    """AWS's NAT takes a random port for each destination; the other kind keeps the source's."""
    fault = NatSwitched(cloud="aws", kind=NatKind.ENDPOINT_INDEPENDENT)
    before = {port for _, port in seen_from_outside(lab, ports=3)}
    break_underlay(fault, lab.topology)
    try:
        switched = {port for _, port in seen_from_outside(lab, ports=3)}
    finally:
        mend_underlay(fault, lab.topology)
    after = {port for _, port in seen_from_outside(lab, ports=3)}

    assert [4, 1, 4] == [len(before), len(switched), len(after)]


@pytest.mark.parametrize(
    "fault",
    [
        LinkDown("three"),
        CloudCutOff("gcp"),
        PacketLoss("gcp", 5),
        WanMtu("gcp", 1400),
        UdpBlocked("gcp"),
        NatRestarted("gcp"),
        ForwardingBroken("three"),
    ],
    ids=str,
)
def test_unknown(lab: Standing, fault: UnderlayFault) -> None:
    """A fault of something that is not there names what is."""
    with pytest.raises(NotFoundError, match=r"write one of (one, two|aws)"):
        break_underlay(fault, lab.topology)
