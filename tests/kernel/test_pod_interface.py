"""Pods reach each other as soon as attach returns, and nothing is left of one that failed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from chita.dataplane.netlink.links import InterfaceAddress, Links, VethEnd
from chita.dataplane.netlink.routes import RouteTable
from chita.dataplane.netlink.rules import OURS, Rules, our_rules, sync_rules
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.dataplane.pod_interface import PodInterface, PodInterfaces, pod_routes
from chita.dataplane.sysctl import sync_sysctls
from chita.errors import KernelError
from chita.model.net import Address
from network_namespace import fresh_namespaces, needs_root, ping, run_inside

pytestmark = [pytest.mark.kernel, needs_root]

HOST = "cali0123456789a"


class Node(msgspec.Struct, frozen=True):
    """A node that forwards, with the namespaces of two pods to be."""

    space: Path
    socket: NetlinkSocket
    interfaces: PodInterfaces
    pods: list[Path]

    def pod(self, number: int = 0, *addresses: str) -> PodInterface:
        texts = addresses or (f"10.244.0.{number + 5}", f"fd00:10:244::{number + 5}")
        return PodInterface(
            host_interface=f"cali0123456789{number + 10:x}",
            namespace=self.pods[number],
            addresses=tuple(map(Address.parse, texts)),
            mtu_bytes=1400,
        )


@pytest.fixture
def node() -> Iterator[Node]:
    with fresh_namespaces(3) as (space, *pods), NetlinkSocket(namespace=space) as socket:
        forwarding = {"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1"}
        sync_sysctls(forwarding, namespace=space)
        sync_rules(our_rules(OURS), Rules(socket))
        Links(socket).put_address(1, InterfaceAddress(Address.parse("192.0.2.1"), 32))
        yield Node(space, socket, PodInterfaces(socket), pods)


@pytest.mark.parametrize(
    "addresses",
    [
        pytest.param(["10.244.0.5"], id="ipv4"),
        pytest.param(["fd00:10:244::5"], id="ipv6"),
        pytest.param(["10.244.0.5", "fd00:10:244::5"], id="dual-stack"),
    ],
)
def test_pods_reach_each_other_at_once(node: Node, addresses: list[str]) -> None:
    """No wait between attach and the first packet, which is answered; up to the MTU."""
    first, second = node.pod(0, *addresses), node.pod(1, *(f"{it}5" for it in addresses))
    for pod in (first, second):
        node.interfaces.attach(pod)
        assert node.interfaces.check(pod) is None
    for address in second.addresses:
        headers_bytes = 28 if address.family == 4 else 48
        ping(first.namespace, str(address), size_bytes=first.mtu_bytes - headers_bytes)
        ping(node.space, str(address))
    neighbours = run_inside(first.namespace, "ip", "neigh").splitlines()
    assert all("PERMANENT" in line for line in neighbours if "dev eth0" in line)


def test_attach_twice_is_once(node: Node) -> None:
    """The second time changes nothing; another MTU makes the pair again."""
    pod, links = node.pod(), Links(node.socket)
    node.interfaces.attach(pod)
    index = links.index(HOST)
    before = node.socket.writes
    node.interfaces.attach(pod)
    assert links.index(HOST) == index
    assert node.socket.writes == before

    changed = msgspec.structs.replace(pod, mtu_bytes=1300)
    node.interfaces.attach(changed)
    assert node.interfaces.check(changed) is None


def test_ipv6_that_the_runtime_turned_off_is_turned_on(node: Node) -> None:
    """Some runtimes disable IPv6 in a new namespace; a pod with an IPv6 address needs it."""
    sync_sysctls({"net/ipv6/conf/default/disable_ipv6": "1"}, namespace=node.pods[0])
    node.interfaces.attach(node.pod())
    ping(node.space, "fd00:10:244::5")


def test_detach_leaves_nothing(node: Node) -> None:
    """Twice is once; it works when the pod's namespace is gone already; withdrawn pods too."""
    for number in range(2):
        node.interfaces.attach(node.pod(number))
    assert node.interfaces.read() == {HOST, "cali0123456789b"}
    for _ in range(2):
        node.interfaces.withdraw(HOST)
        node.interfaces.detach(HOST)
    node.interfaces.withdraw("cali0123456789b")

    assert node.interfaces.read() == {"cali0123456789b"}
    assert RouteTable(node.socket, Links(node.socket)).read() == {}


def test_a_failed_attach_leaves_nothing(node: Node) -> None:
    """A taken name in the pod, a lost namespace, a refused MTU: error, and no half-made pair."""
    Links(node.socket).add_veth(
        VethEnd(name="other", mac="02:00:00:00:00:01"),
        VethEnd(name="eth0", mac="02:00:00:00:00:02", namespace=node.pods[0]),
        mtu_bytes=1400,
    )
    lost = msgspec.structs.replace(node.pod(1), namespace=Path("/run/netns/chita-t-none"))
    broken = msgspec.structs.replace(node.pod(1), mtu_bytes=1000)  # too small for IPv6
    for pod, match in (
        (node.pod(0), "EEXIST"),
        (lost, "chita-t-none: No such file"),
        (broken, "MTU 1000 is below 1280"),
    ):
        with pytest.raises(KernelError, match=match):
            node.interfaces.attach(pod)
        assert Links(node.socket).read().keys() == {"lo", "other"}


@pytest.mark.parametrize(
    ("where", "command", "expected"),
    [
        pytest.param("host", f"link set {HOST} mtu 1300", "MTU 1300, not 1400", id="mtu"),
        pytest.param("host", f"link set {HOST} down", "state down, not up", id="down"),
        pytest.param(
            "host", f"neigh del 10.244.0.5 dev {HOST}", "neighbour 10.244.0.5", id="neighbour"
        ),
        pytest.param(
            "host", f"route del 10.244.0.5 table {OURS.table}", "route 10.244.0.5/32", id="route"
        ),
        pytest.param("host", f"link del {HOST}", f"interface {HOST} does not exist", id="gone"),
        pytest.param("pod", "link set lo down", "lo in the pod is down", id="loopback"),
        pytest.param(
            "pod", "address add 192.0.2.1/32 dev eth0", "has 10.244.0.5/32, 192.0.2.1/32", id="more"
        ),
        pytest.param(
            "pod", "address del fd00:10:244::5 dev eth0", "not 10.244.0.5/32, fd00", id="less"
        ),
        pytest.param("pod", "-4 route del default", "route 0.0.0.0/0 via 169", id="no-default"),
        pytest.param(
            "pod", "neigh del 169.254.1.1 dev eth0", "neighbour 169.254.1.1", id="no-gateway"
        ),
        pytest.param("pod", "link set eth0 name eth1", "is not the peer", id="renamed"),
        pytest.param(
            "pod", "link set eth0 address 02:00:00:00:00:01", "hardware address 02:00", id="mac"
        ),
    ],
)
def test_check_names_the_difference(node: Node, where: str, command: str, expected: str) -> None:
    """CHECK says what is wrong; attach mends all of it."""
    pod = node.pod()
    node.interfaces.attach(pod)
    space = node.space if where == "host" else pod.namespace
    run_inside(space, "ip", *command.split())

    assert expected in (node.interfaces.check(pod) or "nothing")

    node.interfaces.attach(pod)
    assert node.interfaces.check(pod) is None


def test_check_sees_settings(node: Node) -> None:
    """A setting that somebody changed is named with both values."""
    pod = node.pod()
    node.interfaces.attach(pod)
    sync_sysctls({f"net/ipv4/conf/{HOST}/rp_filter": "0"}, namespace=node.space)

    assert node.interfaces.check(pod) == f"sysctl net/ipv4/conf/{HOST}/rp_filter is 0, not 1"


def test_pod_routes_are_those_that_attach_puts(node: Node) -> None:
    """The agent's desired routes hold the same values, so its next sync writes nothing."""
    pod = node.pod()
    node.interfaces.attach(pod)
    held = RouteTable(node.socket, Links(node.socket)).read()

    assert held == {route.dst: route for route in pod_routes(pod)}
