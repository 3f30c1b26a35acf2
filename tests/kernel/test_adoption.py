"""A running pod that Calico attached becomes one of ours, and its connections go on."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from chita.dataplane.netlink.namespace import inside
from chita.dataplane.netlink.rules import OURS, Rules, our_rules, sync_rules
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.dataplane.pod_ends import PodEnd, adopt_pods, pod_ends
from chita.dataplane.pod_interface import PodInterface, PodInterfaces
from chita.dataplane.sysctl import sync_sysctls
from chita.errors import KernelError
from chita.model.net import Address
from network_namespace import fresh_namespaces, needs_root, ping, run_inside

pytestmark = [pytest.mark.kernel, needs_root]

HOST = "cali0123456789a"
ADDRESSES = ("10.244.0.5", "fd00:10:244::5")
NODE = "192.0.2.1"
MTU_BYTES = 1440


@pytest.fixture
def spaces() -> Iterator[tuple[Path, Path]]:
    """A node and a pod, joined as Calico's plugin joins them (calico 2.24, steps of ADD)."""
    with fresh_namespaces(2) as (node, pod):
        run_inside(node, "ip", "addr", "add", f"{NODE}/32", "dev", "lo")
        sync_sysctls(
            {"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1"}, namespace=node
        )
        run_inside(
            node, "ip", "link", "add", HOST, "mtu", str(MTU_BYTES), "address", "ee:ee:ee:ee:ee:ee",
            "type", "veth", "peer", "name", "eth0", "mtu", str(MTU_BYTES), "netns", pod.name,
        )  # fmt: skip
        sync_sysctls(
            {
                f"net/ipv6/conf/{HOST}/accept_dad": "0",
                f"net/ipv6/conf/{HOST}/proxy_ndp": "1",
                f"net/ipv4/conf/{HOST}/proxy_arp": "1",
                f"net/ipv4/conf/{HOST}/route_localnet": "1",
                f"net/ipv4/neigh/{HOST}/proxy_delay": "0",
            },
            namespace=node,
        )
        run_inside(node, "ip", "link", "set", HOST, "up")
        run_inside(pod, "ip", "link", "set", "eth0", "up")
        run_inside(pod, "ip", "addr", "add", "10.244.0.5/32", "dev", "eth0")
        run_inside(pod, "ip", "addr", "add", "fd00:10:244::5/128", "dev", "eth0", "nodad")
        for command in (
            "route add 169.254.1.1 dev eth0 scope link",
            "route add default via 169.254.1.1 dev eth0",
            "neigh add 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0 nud permanent",
            "-6 route add default via fe80::ecee:eeff:feee:eeee dev eth0",
        ):
            run_inside(pod, "ip", *command.split())
        run_inside(node, "ip", "route", "add", "10.244.0.5/32", "dev", HOST)
        run_inside(node, "ip", "-6", "route", "add", "fd00:10:244::5/128", "dev", HOST)
        yield node, pod


def interface(pod: Path, *addresses: str) -> PodInterface:
    return PodInterface(
        host_interface=HOST,
        namespace=pod,
        addresses=tuple(map(Address.parse, addresses or ADDRESSES)),
        mtu_bytes=MTU_BYTES,
    )


def test_the_ends_of_pods_are_found(spaces: tuple[Path, Path]) -> None:
    """The node's own namespace, and one that is gone, are no pods."""
    node, pod = spaces

    found = pod_ends([node, pod, Path("/run/netns/chita-t-none")], node=node)

    assert [
        PodEnd(
            namespace=pod,
            interface="eth0",
            host_interface=HOST,
            addresses=tuple(map(Address.parse, ADDRESSES)),
            mtu_bytes=MTU_BYTES,
        )
    ] == found


def test_an_adopted_pod_is_as_attach_makes_it(spaces: tuple[Path, Path]) -> None:
    """No difference to check, twice is once, and what Calico's proxy was for is off."""
    node, pod = spaces
    with NetlinkSocket(namespace=node) as door:
        sync_rules(our_rules(OURS), Rules(door))
        for _ in range(2):
            assert {} == adopt_pods([interface(pod)], node=node)

        assert PodInterfaces(door).check(interface(pod)) is None
    # Only our table leads to it now.
    run_inside(node, "ip", "route", "del", "10.244.0.5/32", "dev", HOST)
    ping(node, ADDRESSES[0])
    ping(node, ADDRESSES[1])
    assert "0" == run_inside(node, "cat", f"/proc/sys/net/ipv4/conf/{HOST}/proxy_arp").strip()


def test_a_connection_goes_on(spaces: tuple[Path, Path]) -> None:
    """The pod's end gets another hardware address under a connection that stands."""
    node, pod = spaces

    def listener() -> socket.socket:
        found = socket.create_server((NODE, 0))
        found.settimeout(5)
        return found

    listening = inside(node, listener)
    try:
        client = inside(
            pod, lambda: socket.create_connection(listening.getsockname()[:2], timeout=5)
        )
        server, _ = listening.accept()
        server.settimeout(5)
        client.sendall(b"before")
        assert b"before" == server.recv(16)

        assert {} == adopt_pods([interface(pod)], node=node)

        client.sendall(b"after")
        assert b"after" == server.recv(16)
        server.sendall(b"answer")
        assert b"answer" == client.recv(16)
        client.close()
        server.close()
    finally:
        listening.close()


def test_a_pod_with_other_addresses_is_left_alone(spaces: tuple[Path, Path]) -> None:
    """Nothing was changed: it reaches its node as before, and its MAC is Calico's."""
    node, pod = spaces
    before = run_inside(pod, "ip", "-o", "link", "show", "eth0")

    (refused,) = adopt_pods([interface(pod, "10.244.0.6")], node=node).values()

    assert isinstance(refused, KernelError)
    assert "the pod has 10.244.0.5, fd00:10:244::5, not 10.244.0.6" in str(refused)
    assert before == run_inside(pod, "ip", "-o", "link", "show", "eth0")
    ping(pod, NODE)


def test_what_is_no_pod_is_refused(spaces: tuple[Path, Path]) -> None:
    """A device that does not exist, and one that leads elsewhere."""
    node, pod = spaces
    run_inside(node, "ip", "link", "add", "cali-other", "type", "veth", "peer", "name", "other-end")
    elsewhere = PodInterface(
        host_interface="cali-other", namespace=pod, addresses=(), mtu_bytes=MTU_BYTES
    )
    missing = PodInterface(
        host_interface="cali-none", namespace=pod, addresses=(), mtu_bytes=MTU_BYTES
    )

    refused = adopt_pods([elsewhere, missing], node=node)

    assert "is not its peer" in str(refused["cali-other"])
    assert "does not exist" in str(refused["cali-none"])
