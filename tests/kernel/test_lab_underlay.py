"""The simulated clouds on the wire: who can dial whom, and what each network does to packets."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest

from chita.lab.netns import entered, ip_batch, run_in
from chita.lab.ping import path_mtu, ping
from chita.lab.pods import Add, Listeners
from chita.lab.probe import Allowed, Expectation, Outcome, Refused, TimedOut, try_flows
from chita.lab.underlay import Port
from chita.model.net import ICMP, ICMPV6, TCP, UDP, Address
from lab_worlds import Standing, answered_by, node, standing, underlay, world
from network_namespace import needs_root

pytestmark = [pytest.mark.kernel, needs_root]

LISTENERS = (
    Port(port=51820, protocol="UDP"),
    Port(port=52820, protocol="UDP"),
    Port(port=4789, protocol="UDP"),
    Port(port=10250),
    Port(port=22),
)

CLOUDS = world(
    underlay("aws", provider="aws", privateCIDRs=["10.0.0.0/24", "fd00:a::/64"]),
    underlay("gcp", provider="gcp", privateCIDRs=["10.0.0.0/24", "fd00:a::/64"]),
    underlay("azure", provider="azure", privateCIDRs=["10.3.0.0/24", "fd00:b::/64"]),
    underlay("openstack", provider="openstack", privateCIDRs=["192.168.0.0/24", "fd00:c::/64"]),
    underlay("branch", provider="branch", privateCIDRs=["192.168.1.0/24"]),
    underlay(
        "world",
        externalHosts=[{"name": "bank", "addresses": ["198.18.0.70", "fd00:198:18::70"]}],
    ),
    node("aws-1", "aws", private=["10.0.0.11"], public=["198.18.1.11"]),
    node("aws-2", "aws", private=["10.0.0.12"]),
    node("gcp-1", "gcp", private=["10.0.0.11"], public=["198.18.2.11"]),
    node("gcp-2", "gcp", private=["10.0.0.12"]),
    node("azure-1", "azure", public=["198.18.3.11", "fd00:198:18:3::11"]),
    node("azure-2", "azure"),
    node("openstack-1", "openstack"),
    node("openstack-2", "openstack"),
    node("branch-1", "branch"),
    node("branch-2", "branch"),
)


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """The clouds, standing for all tests of this module."""
    with standing(CLOUDS, tmp_path_factory.mktemp("clouds")) as lab:
        yield lab


def tried(
    lab: Standing,
    source: str,
    destination: str,
    protocol: int,
    port: int,
    *,
    size_bytes: int = 0,
    answers: bool | None = None,
) -> Outcome:
    """Return what comes of a flow while every node listens.

    What is not as *answers* says is tried again: a busy machine may lose a single datagram.
    """
    expected = {None: Expectation.UNKNOWN, True: Expectation.ANSWER, False: Expectation.SILENCE}

    async def run() -> Outcome:
        listeners = Listeners()
        names = [*(place.name for place in lab.topology.nodes), "bank", "control"]
        try:
            for name in names:
                message = Add(name=name, namespace=str(lab.path(name)), ports=LISTENERS)
                assert not (await listeners.add(message)).error
            flow = lab.flow(source, destination, protocol, port, size_bytes=size_bytes)
            flow = msgspec.structs.replace(flow, expected=expected[answers])
            (outcome,) = await try_flows([flow])
            return outcome
        finally:
            for name in names:
                listeners.remove(name)

    return asyncio.run(run())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "destination", "protocol", "port", "by"),
    [
        pytest.param("aws-2", "10.0.0.11", TCP, 22, "aws-1", id="inside-aws"),
        pytest.param("gcp-2", "10.0.0.11", TCP, 22, "gcp-1", id="same-address-inside-gcp"),
        pytest.param("aws-1", "10.0.0.12", UDP, 4789, "aws-2", id="vxlan-inside"),
        pytest.param("openstack-1", "fd00:c::c", UDP, 4789, "openstack-2", id="inside-ipv6"),
        pytest.param("aws-1", "198.18.2.11", UDP, 51820, "gcp-1", id="tunnel-public-to-public"),
        pytest.param("aws-2", "198.18.2.11", UDP, 51820, "gcp-1", id="tunnel-nat-to-public"),
        pytest.param("openstack-1", "198.18.1.11", UDP, 51820, "aws-1", id="tunnel-hard-nat"),
        pytest.param("branch-1", "198.18.3.11", UDP, 51820, "azure-1", id="tunnel-branch"),
        pytest.param("aws-1", "fd00:198:18:3::11", UDP, 51820, "azure-1", id="tunnel-ipv6"),
        pytest.param("openstack-1", "198.18.1.11", TCP, 10250, "aws-1", id="kubelet"),
        pytest.param("aws-2", "198.18.1.11", UDP, 51820, "aws-1", id="hairpin-nat-to-public"),
        pytest.param("aws-1", "198.18.1.11", UDP, 51820, "aws-1", id="hairpin-to-itself"),
        pytest.param("openstack-2", "198.18.0.70", TCP, 22, "bank", id="nat-to-the-world"),
        pytest.param("openstack-2", "fd00:198:18::70", TCP, 22, "bank", id="world-ipv6"),
        pytest.param("gcp-2", "198.18.0.10", TCP, 22, "control", id="nat-to-the-api-server"),
        pytest.param("aws-1", "198.18.2.11", TCP, 22, None, id="group-closes-ssh"),
        pytest.param("aws-1", "198.18.2.11", UDP, 4789, None, id="vxlan-only-inside"),
        pytest.param("aws-1", "198.18.2.11", UDP, 52820, None, id="beyond-the-tunnel-ports"),
        pytest.param("bank", "198.18.4.1", UDP, 51820, None, id="behind-nat-not-dialable"),
        pytest.param("aws-1", "192.168.0.11", UDP, 51820, None, id="private-address-elsewhere"),
        pytest.param("bank", "10.0.0.11", UDP, 51820, None, id="private-address-from-the-world"),
    ],
)
def test_dial(
    clouds: Standing, source: str, destination: str, *, protocol: int, port: int, by: str | None
) -> None:
    """A node is dialled by its private address inside its cloud, else by its public one, if any."""
    outcome = tried(clouds, source, destination, protocol, port, answers=by is not None)

    assert by == answered_by(outcome)


@pytest.mark.parametrize(
    ("source", "destination", "protocol", "answers"),
    [
        pytest.param("openstack-1", "198.18.1.11", ICMP, True, id="public"),
        pytest.param("aws-1", "fd00:198:18:3::11", ICMPV6, True, id="public-ipv6"),
        pytest.param("aws-1", "fd00:a::c", ICMPV6, True, id="inside-ipv6"),
        pytest.param("aws-1", "10.3.0.11", ICMP, False, id="private-elsewhere"),
    ],
)
@pytest.mark.slow
def test_ping(
    clouds: Standing, source: str, destination: str, protocol: int, *, answers: bool
) -> None:
    outcome = tried(clouds, source, destination, protocol, 0, answers=answers)

    assert answers == isinstance(outcome, Allowed)


@pytest.mark.parametrize(
    ("source", "destination", "expected"),
    [
        pytest.param("aws-1", "10.0.0.12", 9001, id="aws-inside"),
        pytest.param("aws-1", "198.18.0.10", 1500, id="aws-outside"),
        pytest.param("gcp-1", "10.0.0.12", 1460, id="gcp-inside"),
        pytest.param("azure-1", "10.3.0.12", 1400, id="azure-inside"),
        pytest.param("azure-1", "198.18.0.10", 1400, id="azure-outside"),
        pytest.param("azure-1", "fd00:198:18::10", 1400, id="azure-outside-ipv6"),
        pytest.param("aws-1", "198.18.3.11", 1400, id="into-azure"),
        pytest.param("openstack-1", "192.168.0.12", 1450, id="openstack"),
        pytest.param("branch-1", "198.18.0.10", 1492, id="branch"),
    ],
)
@pytest.mark.slow
def test_largest_packet(clouds: Standing, source: str, destination: str, expected: int) -> None:
    """The longest packet that passes is each provider's (docs/design/lab.md)."""
    address = Address.parse(destination)
    found = asyncio.run(path_mtu(clouds.path(source), address, largest=9001, timeout_s=0.1))

    assert expected == found


@pytest.mark.parametrize(
    ("source", "error"),
    [
        pytest.param("aws-1", "Message too long", id="aws-says-so"),
        pytest.param("azure-1", "no answer", id="azure-drops-silently"),
    ],
)
@pytest.mark.slow
def test_too_long(clouds: Standing, source: str, error: str) -> None:
    """A router that can't forward says so, but for Azure's (RFC 1191 needs it to)."""
    destination = Address.parse("198.18.0.70")
    size = 1500 if source == "azure-1" else 1501
    result = asyncio.run(
        ping(clouds.path(source), destination, size_bytes=size, count=2, timeout_s=0.3)
    )

    assert (0, error) == (result.received, result.error)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "destination"),
    [
        pytest.param("azure-1", "198.18.0.10", id="azure-to-the-world"),
        pytest.param("azure-2", "fd00:198:18::10", id="azure-to-the-world-ipv6"),
        pytest.param("azure-1", "10.3.0.12", id="azure-inside"),
        pytest.param("aws-1", "198.18.0.10", id="9001-to-1500"),
        pytest.param("branch-1", "198.18.0.10", id="branch"),
    ],
)
def test_tcp_of_hosts(clouds: Standing, source: str, destination: str) -> None:
    """A host's own TCP carries a megabyte both ways wherever it is: agents reach their server."""
    outcome = tried(clouds, source, destination, TCP, 22, size_bytes=1_000_000, answers=True)

    assert isinstance(outcome, Allowed)


def ipip_packet(payload: bytes) -> bytes:
    """Return an IPv4 header without meaning around *payload*."""
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, 17, 0)
    return head + b"\0" * 8 + payload


@pytest.mark.parametrize(
    ("source", "destination", "protocol", "arrives"),
    [
        pytest.param("aws-1", "aws-2", 4, True, id="aws-ip-in-ip"),
        pytest.param("azure-1", "azure-2", 4, False, id="azure-ip-in-ip"),
        pytest.param("azure-1", "azure-2", 47, False, id="azure-gre"),
        pytest.param("azure-1", "azure-2", 253, True, id="azure-other"),
    ],
)
def test_protocol(
    clouds: Standing, source: str, destination: str, protocol: int, *, arrives: bool
) -> None:
    """Azure carries neither IP-in-IP nor GRE."""
    to = clouds.topology.node(destination).private_addresses[0]
    with raw_socket(clouds, destination, protocol) as receiver:
        with raw_socket(clouds, source, protocol) as sender:
            sender.sendto(ipip_packet(b"hello"), (str(to), 0))
        assert arrives == receives(receiver)


@contextmanager
def raw_socket(lab: Standing, name: str, protocol: int) -> Iterator[socket.socket]:
    """Yield a raw socket of a node."""
    with entered(lab.path(name)):
        opened = socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol)
    with opened:
        yield opened


@contextmanager
def udp_socket(lab: Standing, name: str, address: str = "") -> Iterator[socket.socket]:
    """Yield a bound UDP socket of a node."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with entered(lab.path(name)):
        opened = socket.socket(family, socket.SOCK_DGRAM)
        opened.bind((address, 0))
    with opened:
        yield opened


def receives(receiver: socket.socket) -> bool:
    """Whether something arrives. On one machine what is sent is there when sendto returns."""
    receiver.settimeout(0.2)
    try:
        receiver.recv(2048)
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize(
    ("provider", "foreign", "spec", "arrives"),
    [
        pytest.param("openstack", "10.244.9.9", {}, False, id="port-security"),
        pytest.param("openstack", "", {}, True, id="port-security-own"),
        pytest.param("openstack", "fd00:10:244::9", {}, False, id="port-security-ipv6"),
        pytest.param(
            "openstack",
            "10.244.9.9",
            {"allowedAddresses": ["10.244.0.0/16"]},
            True,
            id="allowed-address",
        ),
        pytest.param(
            "openstack", "10.244.9.9", {"portSecurity": False}, True, id="port-security-off"
        ),
        pytest.param("aws", "10.244.9.9", {}, False, id="source-destination-check"),
        pytest.param("aws", "10.244.9.9", {"sourceDestinationCheck": False}, True, id="check-off"),
        pytest.param("gcp", "10.244.9.9", {}, False, id="no-ip-forward"),
        pytest.param("gcp", "10.244.9.9", {"canIPForward": True}, True, id="can-ip-forward"),
        pytest.param("baremetal", "10.244.9.9", {}, True, id="bare-metal"),
    ],
)
@pytest.mark.slow
def test_foreign_source(
    tmp_path: Path, provider: str, foreign: str, spec: dict[str, object], *, arrives: bool
) -> None:
    """A pod's own address leaves its node only where the network was told to let it."""
    planned = world(
        underlay("net", provider=provider, **spec), node("a", provider), node("b", provider)
    )
    with standing(planned, tmp_path) as lab:
        to = lab.topology.node("b").private_addresses[1 if ":" in foreign else 0]
        if foreign:
            prefix = "128 nodad" if ":" in foreign else "32"
            ip_batch(lab.path("a"), [f"address add {foreign}/{prefix} dev lo"])
        if not foreign:
            foreign = str(lab.topology.node("a").private_addresses[0])
        anywhere = "::" if ":" in foreign else "0.0.0.0"
        with udp_socket(lab, "b", anywhere) as receiver, udp_socket(lab, "a", foreign) as sender:
            sender.sendto(b"hello", (str(to), receiver.getsockname()[1]))

            assert arrives == receives(receiver)


def test_foreign_destination(tmp_path: Path) -> None:
    """AWS's check also keeps a packet for a pod from reaching the node that has the pod."""
    for check, arrives in ((True, False), (False, True)):
        planned = world(
            underlay("net", provider="aws", sourceDestinationCheck=check),
            node("a", "aws"),
            node("b", "aws"),
        )
        with standing(planned, tmp_path) as lab:
            gateway = lab.topology.node("b").private_addresses[0]
            ip_batch(lab.path("b"), ["address add 10.244.9.9/32 dev lo"])
            ip_batch(lab.path("a"), [f"route add 10.244.9.9/32 via {gateway}"])
            with udp_socket(lab, "b") as receiver, udp_socket(lab, "a") as sender:
                sender.sendto(b"hello", ("10.244.9.9", receiver.getsockname()[1]))

                assert arrives == receives(receiver)


@pytest.mark.parametrize(
    ("source", "keeps_port"),
    [
        pytest.param("openstack-1", False, id="endpoint-dependent"),
        pytest.param("gcp-2", False, id="cloud-nat"),
        pytest.param("branch-1", True, id="endpoint-independent"),
    ],
)
def test_nat_kind(clouds: Standing, source: str, *, keeps_port: bool) -> None:
    """Behind a hard NAT two peers see two ports, neither our own; behind a soft one, our own."""
    with ExitStack() as stack:
        sender = stack.enter_context(udp_socket(clouds, source))
        peers = [stack.enter_context(udp_socket(clouds, name)) for name in ("bank", "control")]
        addresses = ("198.18.0.70", "198.18.0.10")
        seen = []
        for peer, address in zip(peers, addresses, strict=True):
            sender.sendto(b"hello", (address, peer.getsockname()[1]))
            peer.settimeout(2)
            seen.append(peer.recvfrom(100)[1])
        own = sender.getsockname()[1]
        router = str(clouds.topology.cloud(source.partition("-")[0]).wan_addresses[0])

    assert {router} == {host for host, _ in seen}
    assert keeps_port == ([own, own] == [port for _, port in seen])
    assert keeps_port == (seen[0][1] == seen[1][1])


@pytest.mark.parametrize(
    ("source", "idle_s"),
    [pytest.param("gcp-2", 30, id="gcp"), pytest.param("azure-2", 240, id="azure")],
)
def test_idle_timer(clouds: Standing, source: str, idle_s: int) -> None:
    """The router forgets a UDP mapping when its provider's does."""
    with udp_socket(clouds, source) as sender, udp_socket(clouds, "bank") as peer:
        sender.sendto(b"hello", ("198.18.0.70", peer.getsockname()[1]))
        port = peer.getsockname()[1]
    router = clouds.path(source.partition("-")[0])
    entry = run_in(router, ["conntrack", "-L", "-p", "udp", "--dport", str(port)]).split()

    assert idle_s - 2 <= int(entry[2]) <= idle_s


def test_refused_inside(clouds: Standing) -> None:
    """Where nothing listens the node itself says so: nothing was dropped on the way."""
    assert isinstance(tried(clouds, "aws-2", "10.0.0.11", TCP, 9), Refused)


def test_dropped_outside(clouds: Standing) -> None:
    """What the security group closes is silent."""
    assert isinstance(tried(clouds, "aws-2", "198.18.2.11", TCP, 9), TimedOut)
