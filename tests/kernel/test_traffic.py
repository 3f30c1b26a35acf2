"""The kernel counts what leaves for other nodes, by block and by mesh address."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from chita.dataplane.nftables.traffic import Counting, TrafficTable
from chita.lab.netns import entered
from chita.model.net import Address, Cidr
from network_namespace import fresh_namespaces, needs_root, run_inside

pytestmark = [pytest.mark.kernel, needs_root]

COUNTING = Counting(
    devices=("chita-transit", "chita-wg*"),
    mesh=(Cidr.parse("100.64.0.0/16"), Cidr.parse("fd00:100:64::/64")),
    prefixes=((4, 26), (6, 122)),
)
UDP_BYTES = {4: 28, 6: 48}
"""What an IP and a UDP header add to what a datagram holds."""
SIZE = 100


@contextmanager
def sending(device: str) -> Iterator[TrafficTable]:
    """Yield the table of a namespace, entered, whose packets all leave by *device*, to nobody."""
    with fresh_namespaces(1) as (namespace,):
        run_inside(namespace, "ip", "link", "add", device, "type", "veth", "peer", "name", "far")
        for name in (device, "far"):
            run_inside(namespace, "ip", "link", "set", name, "up")
        run_inside(namespace, "ip", "address", "add", "192.0.2.1/24", "dev", device)
        run_inside(namespace, "ip", "address", "add", "2001:db8::1/64", "dev", device, "nodad")
        for via in ("192.0.2.2", "2001:db8::2"):
            run_inside(namespace, "ip", "neigh", "add", via, "lladdr", "02:00:00:00:00:02",
                       "dev", device)  # fmt: skip
            run_inside(namespace, "ip", "route", "add", "default", "via", via)
        with entered(namespace):
            table = TrafficTable()
            try:
                yield table
            finally:
                table.close()


def send(*destinations: str) -> None:
    for destination in destinations:
        family = socket.AF_INET6 if ":" in destination else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as opened:
            opened.sendto(bytes(SIZE), (destination, 9))


def counted(expected: dict[str, int]) -> dict[Address, int]:
    """Return what that many datagrams to each destination weigh."""
    return {
        (to := Address.parse(text)): count * (SIZE + UDP_BYTES[to.family])
        for text, count in expected.items()
    }


def sent(read: dict[Address, int] | None) -> dict[Address, int]:
    """Return what was read without multicast: the kernel itself reports its groups (RFC 3810)."""
    assert read is not None
    groups = Cidr.parse("ff00::/8")
    return {first: count for first, count in read.items() if first not in groups}


@pytest.mark.slow
@pytest.mark.parametrize("device", ["chita-transit", "chita-wg0"])
def test_what_leaves_is_counted_by_where_it_goes(device: str) -> None:
    """Pods by the first address of their block, nodes each by itself."""
    with sending(device) as table:
        table.replace(COUNTING)
        send("10.244.1.70", "10.244.1.71", "10.244.1.1", "100.64.0.2", "100.64.0.3")
        send("fd00:10:244::1:7", "fd00:10:244::1:41", "fd00:100:64::2", "fd00:100:64::2")

        assert sent(table.read()) == counted(
            {
                "10.244.1.64": 2,
                "10.244.1.0": 1,
                "100.64.0.2": 1,
                "100.64.0.3": 1,
                "fd00:10:244::1:0": 1,
                "fd00:10:244::1:40": 1,
                "fd00:100:64::2": 2,
            }
        )


@pytest.mark.slow
def test_what_stays_in_the_location_is_not_counted() -> None:
    with sending("eth0") as table:
        table.replace(COUNTING)
        send("10.244.1.70")

        assert table.read() == {}


@pytest.mark.slow
def test_it_begins_anew_and_goes_without_a_trace() -> None:
    """Replaced, it counts from nothing; removed, nothing counts, and removing it again is well."""
    with sending("chita-transit") as table:
        assert table.read() is None
        table.replace(COUNTING)
        send("10.244.1.70")
        table.replace(COUNTING)
        begun = table.read()
        table.remove()
        table.remove()

        assert begun == {}
        assert table.read() is None
