"""Links, routes, neighbours and forwarding entries: one suite for the kernel and for its fake."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import msgspec
import pytest

from chita.dataplane.netlink.fake import (
    FakeForwardingEntries,
    FakeLinks,
    FakeNeighbours,
    FakeNexthopTable,
    FakeRouteTable,
)
from chita.dataplane.netlink.links import InterfaceAddress, Links, VethEnd, VxlanParameters
from chita.dataplane.netlink.neighbours import ForwardingEntries, Neighbours
from chita.dataplane.netlink.nexthops import NexthopTable
from chita.dataplane.netlink.routes import RouteTable, sync_routes
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.dataplane.plan import sync
from chita.desired.nexthops import FIRST_NEXTHOP, DeviceHop, HopGroup, Nexthop, TransitHop
from chita.desired.routes import Blackhole, ByNexthop, NextHop, OnDevice, Route, Via
from chita.errors import KernelError
from chita.model.net import Address, Cidr, Family
from network_namespace import fresh_namespaces, needs_root

ADDRESSES = [
    InterfaceAddress(Address.parse("192.0.2.1"), 24),
    InterfaceAddress(Address.parse("2001:db8::1"), 64),
]
MACS = ["02:00:00:00:00:01", "02:00:00:00:00:02"]


class Network(msgspec.Struct, frozen=True):
    """One namespace: the pair ``near`` (up, with `ADDRESSES`) and ``far`` (up)."""

    links: Links | FakeLinks
    table: RouteTable | FakeRouteTable
    nexthops: NexthopTable | FakeNexthopTable
    socket: NetlinkSocket | None

    @property
    def near(self) -> int:
        return self.links.index("near")

    def neighbours(self, index: int) -> Neighbours | FakeNeighbours:
        if self.socket is None:
            assert isinstance(self.links, FakeLinks)
            return FakeNeighbours(self.links, index)
        return Neighbours(self.socket, index)

    def forwarding(self, index: int) -> ForwardingEntries | FakeForwardingEntries:
        if self.socket is None:
            assert isinstance(self.links, FakeLinks)
            return FakeForwardingEntries(self.links, index)
        return ForwardingEntries(self.socket, index)


@pytest.fixture(
    params=["fake", pytest.param("kernel", marks=[pytest.mark.kernel, needs_root])],
)
def network(request: pytest.FixtureRequest) -> Iterator[Network]:
    if request.param == "fake":
        links = FakeLinks()
        yield _prepared(Network(links, FakeRouteTable(links), FakeNexthopTable(links), None))
        return
    with fresh_namespaces(1) as (space,), NetlinkSocket(namespace=space) as socket:
        real = Links(socket)
        nexthops = NexthopTable(socket, real, vni=4097)
        yield _prepared(Network(real, RouteTable(socket, real), nexthops, socket))


def _prepared(network: Network) -> Network:
    ends = [VethEnd(name=name, mac=mac) for name, mac in zip(("near", "far"), MACS, strict=True)]
    network.links.add_veth(*ends, mtu_bytes=1400)
    for name in ("near", "far"):
        network.links.set_up(network.links.index(name))
    for address in ADDRESSES:
        network.links.put_address(network.near, address)
    return network


def net(text: str) -> Cidr:
    return Cidr.parse(text)


def at(text: str) -> Address:
    return Address.parse(text)


ROUTES: list[Route] = [
    Blackhole(net("10.244.0.0/26")),
    OnDevice(dst=net("10.244.0.5/32"), device="near"),
    Via(dst=net("10.244.1.0/26"), gateway=at("192.0.2.9"), device="near"),
    Via(
        dst=net("10.244.2.0/26"), gateway=at("198.51.100.9"), device="near",
        next_hop=NextHop.ON_LINK, source=at("192.0.2.1"), mtu_bytes=1300,
    ),
    Blackhole(net("0.0.0.0/0")),
    Blackhole(net("fd00:10:244::/122")),
    OnDevice(dst=net("fd00:10:244::5/128"), device="near", mtu_bytes=1300),
    Via(dst=net("fd00:10:244:1::/64"), gateway=at("2001:db8::9"), device="near"),
    Via(
        dst=net("fd00:10:244:2::/64"), gateway=at("fd00::9"), device="near",
        next_hop=NextHop.ON_LINK, source=at("2001:db8::1"), mtu_bytes=1300,
    ),
    Blackhole(net("::/0")),
]  # fmt: skip


@pytest.mark.parametrize("route", [pytest.param(it, id=str(it.dst)) for it in ROUTES])
def test_a_route_reads_back_as_it_was_put(network: Network, route: Route) -> None:
    """Twice is once, for putting and for removing."""
    for _ in range(2):
        network.table.put(route)
        assert network.table.read() == {route.dst: route}
    for _ in range(2):
        network.table.remove(route.dst)
        assert network.table.read() == {}


@pytest.mark.parametrize("family", [pytest.param(0, id="ipv4"), pytest.param(5, id="ipv6")])
def test_a_route_becomes_any_other(network: Network, family: int) -> None:
    """A put replaces what was there, whatever its form, in one step."""
    forms = [msgspec.structs.replace(it, dst=ROUTES[family].dst) for it in ROUTES[family:][:4]]
    for before in forms:
        for after in forms:
            network.table.put(before)
            network.table.put(after)
            assert network.table.read() == {after.dst: after}


def test_sync_routes_reaches_the_desired_state(network: Network) -> None:
    """Puts and removes; a second run has nothing to do, one refusal does not stop the rest."""
    assert sync_routes({it.dst: it for it in ROUTES[:6]}, network.table) == {}
    desired = {it.dst: it for it in ROUTES[3:]}
    refused = OnDevice(dst=net("10.244.9.0/24"), device="gone")

    assert list(sync_routes({refused.dst: refused, **desired}, network.table)) == [refused.dst]
    assert network.table.read() == desired


@pytest.mark.parametrize(
    ("route", "code"),
    [
        pytest.param(OnDevice(dst=net("10.0.0.0/8"), device="gone"), errno.ENODEV, id="no-device"),
        pytest.param(
            Via(dst=net("10.0.0.0/8"), gateway=at("203.0.113.1"), device="near"),
            errno.ENETUNREACH,
            id="gateway-in-no-subnet",
        ),
        pytest.param(
            Via(dst=net("fd00::/8"), gateway=at("2001:db8:9::1"), device="near"),
            errno.EHOSTUNREACH,
            id="ipv6-gateway-in-no-subnet",
        ),
        pytest.param(
            OnDevice(dst=net("10.0.0.0/8"), device="near", source=at("203.0.113.1")),
            errno.EINVAL,
            id="source-of-another",
        ),
        pytest.param(OnDevice(dst=net("10.0.0.0/8"), device="late"), errno.ENETDOWN, id="down"),
    ],
)
def test_refusals_name_the_route(network: Network, route: Route, code: int) -> None:
    """What failed, on what, and the kernel's answer (style rule 23)."""
    network.links.add_veth(
        VethEnd(name="late", mac=MACS[0]), VethEnd(name="later", mac=MACS[1]), mtu_bytes=1400
    )

    with pytest.raises(
        KernelError, match=f"put route {route.dst}.*{errno.errorcode[code]}"
    ) as info:
        network.table.put(route)

    assert info.value.errno == code
    assert network.table.read() == {}


def test_routes_go_with_their_device(network: Network) -> None:
    """Down or removed; blackholes stay."""
    kept = ROUTES[0]
    network.table.put(kept)
    network.table.put(ROUTES[1])
    network.links.set_down(network.near)
    assert network.table.read() == {kept.dst: kept}

    network.links.set_up(network.near)
    network.table.put(ROUTES[1])
    network.links.remove("far")
    assert network.table.read() == {kept.dst: kept}
    assert network.links.read().keys() == {"lo"}


def test_links(network: Network) -> None:
    """A pair has what was asked for, both ends know each other; names are taken once."""
    near, far = network.links.get("near"), network.links.get("far")
    assert near is not None
    assert far is not None
    assert (near.kind, near.mac, near.mtu_bytes, near.is_up) == ("veth", MACS[0], 1400, True)
    assert (near.peer_index, far.peer_index) == (far.index, near.index)
    assert network.links.get("gone") is None
    network.links.remove("gone")
    with pytest.raises(KernelError) as info:
        network.links.add_veth(
            VethEnd(name="near", mac=MACS[0]), VethEnd(name="other", mac=MACS[1]), mtu_bytes=1400
        )
    assert info.value.errno == errno.EEXIST

    network.links.set_mtu(near.index, 1300)
    network.links.set_mac(near.index, "02:00:00:00:00:07")
    changed = network.links.get("near")
    assert changed is not None
    assert (changed.mtu_bytes, changed.mac) == (1300, "02:00:00:00:00:07")


def test_addresses(network: Network) -> None:
    """Put and removed; twice is once."""
    more = InterfaceAddress(at("192.0.2.77"), 32)
    for _ in range(2):
        network.links.put_address(network.near, more)
        assert network.links.read_addresses(network.near) == {more, *ADDRESSES}
    for _ in range(2):
        network.links.remove_address(network.near, more)
        assert network.links.read_addresses(network.near) == set(ADDRESSES)
    with pytest.raises(KernelError) as info:
        network.links.put_address(4711, more)
    assert info.value.errno == errno.ENODEV


def test_neighbours(network: Network) -> None:
    """Both families; a changed hardware address replaces, a missing one is no error."""
    neighbours = network.neighbours(network.near)
    first = {at("10.244.0.5"): MACS[0], at("fd00:10:244::5"): MACS[0]}
    second = {at("10.244.0.5"): MACS[1], at("10.244.0.6"): MACS[0]}
    for desired in (first, first, second, {}):
        assert sync(desired, neighbours) == {}
        assert neighbours.read() == desired
    neighbours.remove(at("10.244.0.5"))
    with pytest.raises(KernelError) as info:
        network.neighbours(4711).put(at("10.244.0.5"), MACS[0])
    assert info.value.errno == errno.ENODEV


def test_forwarding_entries(network: Network) -> None:
    """A VXLAN device has the parameters and entries that it was given."""
    parameters = VxlanParameters(vni=4096, port=4789, local=at("192.0.2.1"))
    network.links.add_vxlan("chita-vxlan", parameters, mac=MACS[0], mtu_bytes=1350)
    link = network.links.get("chita-vxlan")
    assert link is not None
    assert (link.kind, link.vxlan, link.mtu_bytes, link.is_up) == ("vxlan", parameters, 1350, False)

    entries = network.forwarding(link.index)
    first = {MACS[0]: at("192.0.2.7"), MACS[1]: at("192.0.2.8")}
    for desired in (first, first, {MACS[1]: at("192.0.2.7")}, {}):
        assert sync(desired, entries) == {}
        assert entries.read() == desired
    entries.remove(MACS[0])


TRANSIT = VxlanParameters(vni=0, port=4790, local=None, is_transit=True)


def with_transit(network: Network) -> Network:
    network.links.add_vxlan("chita-transit", TRANSIT, mac="", mtu_bytes=65000)
    network.links.set_up(network.links.index("chita-transit"))
    return network


def through(relay: str, family: Family) -> TransitHop:
    source = {4: "100.64.0.1", 6: "fd00:100:64::1"}[at(relay).family]
    return TransitHop(family=family, device="chita-transit", source=at(source), relay=at(relay))


SINGLE: list[Nexthop] = [
    DeviceHop(4, "near"),
    DeviceHop(6, "near"),
    through("100.64.0.2", 4),
    through("100.64.0.2", 6),
    through("fd00:100:64::2", 4),
    through("fd00:100:64::2", 6),
]


def test_a_transit_device_reads_back(network: Network) -> None:
    """It has neither Ethernet address nor VNI: routes say where to."""
    link = with_transit(network).links.get("chita-transit")

    assert link is not None
    assert (link.kind, link.vxlan, link.mac, link.is_up) == ("vxlan", TRANSIT, "", True)


@pytest.mark.parametrize("hop", SINGLE, ids=str)
def test_a_nexthop_reads_back_as_it_was_put(network: Network, hop: Nexthop) -> None:
    """Twice is once, for putting and for removing."""
    with_transit(network)
    for _ in range(2):
        network.nexthops.put(FIRST_NEXTHOP, hop)
        assert network.nexthops.read() == {FIRST_NEXTHOP: hop}
    for _ in range(2):
        network.nexthops.remove(FIRST_NEXTHOP)
        assert network.nexthops.read() == {}


@pytest.mark.parametrize("family", [4, 6])
def test_routes_follow_the_nexthop_that_they_name(network: Network, family: Family) -> None:
    """A group is replaced in one step; what is removed takes its routes and leaves its groups."""
    with_transit(network)
    first, second, group = FIRST_NEXTHOP, FIRST_NEXTHOP + 1, FIRST_NEXTHOP + 2
    network.nexthops.put(first, through("100.64.0.2", family))
    network.nexthops.put(second, through("100.64.0.3", family))
    network.nexthops.put(group, HopGroup((first, second)))
    dst = net("10.244.1.0/26" if family == 4 else "fd00:10:244:1::/122")
    source = ADDRESSES[0 if family == 4 else 1].address
    route = ByNexthop(dst=dst, nexthop=group, source=source, mtu_bytes=1340)
    for before in (route, OnDevice(dst=dst, device="near"), Blackhole(dst)):
        network.table.put(before)
        network.table.put(route)
        assert network.table.read() == {dst: route}

    network.nexthops.put(group, HopGroup((second,)))
    assert network.table.read() == {dst: route}
    network.nexthops.put(group, HopGroup((first, second)))
    network.nexthops.remove(second)
    assert network.nexthops.read()[group] == HopGroup((first,))
    assert network.table.read() == {dst: route}
    network.nexthops.remove(group)
    assert network.table.read() == {}


@pytest.mark.parametrize(
    ("hop", "code"),
    [
        pytest.param(DeviceHop(4, "gone"), errno.ENODEV, id="no-device"),
        pytest.param(DeviceHop(4, "late"), errno.ENETDOWN, id="down"),
        pytest.param(HopGroup((FIRST_NEXTHOP + 9,)), errno.EINVAL, id="member-unknown"),
        pytest.param(HopGroup(()), errno.EINVAL, id="nobody"),
    ],
)
def test_refusals_name_the_nexthop(network: Network, hop: Nexthop, code: int) -> None:
    """What failed, on what, and the kernel's answer (style rule 23)."""
    network.links.add_veth(
        VethEnd(name="late", mac=MACS[0]), VethEnd(name="later", mac=MACS[1]), mtu_bytes=1400
    )

    with pytest.raises(KernelError, match=f"put nexthop {FIRST_NEXTHOP} ") as info:
        network.nexthops.put(FIRST_NEXTHOP, hop)

    assert info.value.errno == code


def test_a_route_by_an_unknown_nexthop_is_refused(network: Network) -> None:
    """It would lead nowhere."""
    route = ByNexthop(dst=net("10.0.0.0/8"), nexthop=FIRST_NEXTHOP)

    with pytest.raises(KernelError, match=f"put route 10.0.0.0/8 nhid {FIRST_NEXTHOP}") as info:
        network.table.put(route)

    assert info.value.errno == errno.EINVAL


def test_nexthops_go_with_their_device(network: Network) -> None:
    """And with them the groups that have nobody left, and the routes."""
    with_transit(network)
    network.nexthops.put(FIRST_NEXTHOP, through("100.64.0.2", 4))
    network.nexthops.put(FIRST_NEXTHOP + 1, HopGroup((FIRST_NEXTHOP,)))
    network.table.put(ByNexthop(dst=net("10.244.1.0/26"), nexthop=FIRST_NEXTHOP + 1))

    network.links.remove("chita-transit")

    assert network.nexthops.read() == {}
    assert network.table.read() == {}
