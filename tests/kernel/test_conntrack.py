"""Connections of an address are found and forgotten, those of others kept."""

from __future__ import annotations

import pytest

from chita.dataplane.conntrack import Conntrack, open_conntrack
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.model.net import TCP, UDP, Address
from network_namespace import fresh_namespaces, needs_root, run_inside

pytestmark = [pytest.mark.kernel, needs_root]


def entry(source: str, destination: str, answers: str, port: int) -> list[str]:
    """Return a conntrack(8) command; *answers* is the destination after translation."""
    return [
        "conntrack", "-I", "-p", "udp", "-t", "120", "-s", source, "-d", destination,
        "--sport", "1000", "--dport", str(port), "-r", answers, "-q", source,
        "--reply-port-src", str(port), "--reply-port-dst", "1000",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "destination", "answers", "other"),
    [
        pytest.param("192.0.2.1", "198.51.100.9", "203.0.113.7", "192.0.2.99", id="ipv4"),
        pytest.param("2001:db8::1", "2001:db8:1::9", "2001:db8:2::7", "2001:db8::99", id="ipv6"),
    ],
)
def test_forget(source: str, destination: str, answers: str, other: str) -> None:
    """An address is found as source, as destination, and as what was translated to."""
    with fresh_namespaces(1) as (space,), NetlinkSocket(namespace=space) as like:
        for port, (one, two) in enumerate([(source, answers), (other, destination)], 1):
            run_inside(space, *entry(one, destination, two, port))
        with open_conntrack(like) as socket:
            table = Conntrack(socket)
            (translated,) = table.read(Address.parse(answers))
            assert (translated.protocol, translated.destination_port) == (UDP, 1) != (TCP, 1)
            assert str(translated.source) == source
            assert str(translated.destination) == destination
            assert len(table.read(Address.parse(destination))) == 2

            assert table.forget(Address.parse(answers)) == 1
            assert table.read(Address.parse(source)) == []
            assert table.forget(Address.parse(source)) == 0
            assert len(table.read(Address.parse(other))) == 1
