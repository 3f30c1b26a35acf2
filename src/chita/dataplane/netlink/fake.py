"""A network namespace in memory: the twin of links, routes and neighbours, for tests.

It answers as the kernel does, errors included, for what this package asks of it; one contract suite
runs on both.
"""

from __future__ import annotations

import errno
import itertools
import os

import msgspec

from chita.dataplane.netlink.links import InterfaceAddress, Link, VethEnd, VxlanParameters
from chita.dataplane.netlink.nexthops import ForeignHop, describe_nexthop
from chita.dataplane.netlink.routes import Foreign, describe
from chita.desired.nexthops import DeviceHop, HopGroup, Nexthop, TransitHop
from chita.desired.routes import Blackhole, ByNexthop, NextHop, OnDevice, Route, Via
from chita.errors import KernelError, NotFoundError
from chita.model.net import Address, Cidr

_LOOPBACK = Link(index=1, name="lo", kind="", mac="00:00:00:00:00:00", mtu_bytes=65536, is_up=True)
_LINK_LOCAL = Cidr.parse("fe80::/10")


class FakeLinks:
    """The twin of `Links`, and the state that the other fakes share."""

    def __init__(self) -> None:
        self._links = {_LOOPBACK.index: _LOOPBACK}
        self._indices = itertools.count(2)
        self.addresses: dict[int, set[InterfaceAddress]] = {}
        self.routes: dict[Cidr, Route | Foreign] = {}
        self.nexthops: dict[int, Nexthop | ForeignHop] = {}
        self.neighbours: dict[int, dict[Address, str]] = {}
        self.forwarding: dict[int, dict[str, Address]] = {}

    def read(self) -> dict[str, Link]:
        """Return all devices by name."""
        return {link.name: link for link in self._links.values()}

    def get(self, name: str) -> Link | None:
        """Return the device of that name, or None."""
        return self.read().get(name)

    def index(self, name: str) -> int:
        """Return the index of the device of that name."""
        link = self.get(name)
        if link is None:
            raise NotFoundError(f"link {name} does not exist")
        return link.index

    def add_veth(self, near: VethEnd, far: VethEnd, *, mtu_bytes: int) -> None:
        """Make a pair; an end in another namespace is not modelled, only its number."""
        what = f"add veth {near.name} with peer {far.name}"
        here = [near] if far.namespace else [near, far]
        if {end.name for end in here} & self.read().keys():
            raise _refusal(what, errno.EEXIST)
        first, second = next(self._indices), next(self._indices)
        for end, index, peer in ((near, first, second), (far, second, first)):
            if end in here:
                link = _link(index, end, "veth", mtu_bytes)
                self._put(msgspec.structs.replace(link, peer_index=peer))

    def add_vxlan(
        self, name: str, parameters: VxlanParameters, *, mac: str, mtu_bytes: int
    ) -> None:
        """Make a VXLAN device, down."""
        if name in self.read():
            raise _refusal(f"add vxlan {name}", errno.EEXIST)
        end = VethEnd(name=name, mac=mac)
        link = _link(next(self._indices), end, "vxlan", mtu_bytes)
        self._put(msgspec.structs.replace(link, vxlan=parameters))

    def disable_link_local(self, index: int) -> None:
        """Do nothing: link-local addresses are not modelled."""

    def set_up(self, index: int) -> None:
        """Bring a device up."""
        self._change(index, is_up=True)

    def set_down(self, index: int) -> None:
        """Take a device down; the routes over it and its neighbours go."""
        self._change(index, is_up=False)
        self._drop(index)

    def set_mtu(self, index: int, mtu_bytes: int) -> None:
        """Change a device's MTU."""
        self._change(index, mtu_bytes=mtu_bytes)

    def set_mac(self, index: int, mac: str) -> None:
        """Change a device's hardware address."""
        self._change(index, mac=mac)

    def remove(self, name: str) -> None:
        """Remove a device and what hangs on it; a veth's peer goes too."""
        link = self.get(name)
        if link is None:
            return
        for index in (link.index, link.peer_index):
            self._drop(index)
            self.addresses.pop(index, None)
            self.forwarding.pop(index, None)
            self._links.pop(index, None)

    def read_addresses(self, index: int) -> set[InterfaceAddress]:
        """Return the addresses of a device."""
        return set(self.addresses.get(index, set()))

    def put_address(self, index: int, value: InterfaceAddress) -> None:
        """Give a device an address."""
        if index not in self._links:
            raise _refusal(f"put address {value} on link {index}", errno.ENODEV)
        self.addresses.setdefault(index, set()).add(value)

    def remove_address(self, index: int, value: InterfaceAddress) -> None:
        """Take an address from a device."""
        self.addresses.get(index, set()).discard(value)

    def exists(self, index: int) -> bool:
        """Whether there is a device of that index."""
        return index in self._links

    def _put(self, link: Link) -> None:
        self._links[link.index] = link

    def _change(self, index: int, **fields: object) -> None:
        if index not in self._links:
            raise _refusal(f"set link {index}", errno.ENODEV)
        self._put(msgspec.structs.replace(self._links[index], **fields))

    def _drop(self, index: int) -> None:
        name = self._links[index].name if index in self._links else None
        self.neighbours.pop(index, None)
        for key, hop in list(self.nexthops.items()):
            if isinstance(hop, DeviceHop | TransitHop) and hop.device == name:
                self.drop_nexthop(key)
        self.routes = {
            dst: route
            for dst, route in self.routes.items()
            if not isinstance(route, Via | OnDevice) or route.device != name
        }

    def drop_nexthop(self, key: int) -> None:
        """Take a nexthop away, with the routes that name it; an empty group goes too."""
        self.nexthops.pop(key, None)
        self.routes = {
            dst: route
            for dst, route in self.routes.items()
            if not isinstance(route, ByNexthop) or route.nexthop != key
        }
        for number, group in list(self.nexthops.items()):
            if isinstance(group, HopGroup) and key in group.members:
                members = tuple(it for it in group.members if it != key)
                if members:
                    self.nexthops[number] = HopGroup(members)
                else:
                    self.drop_nexthop(number)


class FakeRouteTable:
    """The twin of `RouteTable`, over a `FakeLinks`."""

    def __init__(self, links: FakeLinks) -> None:
        self._links = links

    def read(self) -> dict[Cidr, Route | Foreign]:
        """Return all routes by destination."""
        return dict(self._links.routes)

    def put(self, route: Route) -> None:
        """Make *route* the one to its destination."""
        if not isinstance(route, Blackhole):
            self._check(route, f"put route {describe(route)}")
        self._links.routes[route.dst] = route

    def remove(self, dst: Cidr) -> None:
        """Remove every route to *dst*."""
        self._links.routes.pop(dst, None)

    def _check(self, route: Via | OnDevice | ByNexthop, what: str) -> None:
        if isinstance(route, ByNexthop):
            if route.nexthop not in self._links.nexthops:
                raise _refusal(what, errno.EINVAL)
        else:
            _check_device(self._links, route.device, what)
        ours = set().union(*self._links.addresses.values()) if self._links.addresses else set()
        if route.source is not None and route.source not in {it.address for it in ours}:
            raise _refusal(what, errno.EINVAL)
        if isinstance(route, Via) and route.next_hop is NextHop.IN_SUBNET:
            held = self._links.read_addresses(self._links.index(route.device))
            subnets = [Cidr(it.address.family, it.address.value, it.prefix) for it in held]
            if not any(route.gateway in net for net in (*subnets, _LINK_LOCAL)):
                is_ipv4 = route.gateway.family == 4
                raise _refusal(what, errno.ENETUNREACH if is_ipv4 else errno.EHOSTUNREACH)


class FakeNexthopTable:
    """The twin of `NexthopTable`, over a `FakeLinks`."""

    def __init__(self, links: FakeLinks) -> None:
        self._links = links

    def read(self) -> dict[int, Nexthop | ForeignHop]:
        """Return all nexthops of ours."""
        return dict(self._links.nexthops)

    def put(self, key: int, hop: Nexthop) -> None:
        """Make *hop* the one of that number."""
        what = f"put nexthop {key} {describe_nexthop(hop)}"
        held = self._links.nexthops.get(key)
        if held is not None and isinstance(held, HopGroup) != isinstance(hop, HopGroup):
            raise _refusal(what, errno.EINVAL)
        if isinstance(hop, HopGroup):
            if not hop.members or not set(hop.members) <= self._links.nexthops.keys():
                raise _refusal(what, errno.EINVAL)
        else:
            _check_device(self._links, hop.device, what)
        self._links.nexthops[key] = hop

    def remove(self, key: int) -> None:
        """Remove the nexthop of that number."""
        self._links.drop_nexthop(key)


class FakeNeighbours:
    """The twin of `Neighbours`, over a `FakeLinks`."""

    def __init__(self, links: FakeLinks, index: int) -> None:
        self._links = links
        self._index = index

    def read(self) -> dict[Address, str]:
        """Return the permanent entries."""
        return dict(self._links.neighbours.get(self._index, {}))

    def put(self, address: Address, mac: str) -> None:
        """Make *mac* the hardware address of *address*."""
        if not self._links.exists(self._index):
            raise _refusal(f"put neighbour {address}", errno.ENODEV)
        self._links.neighbours.setdefault(self._index, {})[address] = mac

    def remove(self, address: Address) -> None:
        """Forget *address*."""
        self._links.neighbours.get(self._index, {}).pop(address, None)


class FakeForwardingEntries:
    """The twin of `ForwardingEntries`, over a `FakeLinks`."""

    def __init__(self, links: FakeLinks, index: int) -> None:
        self._links = links
        self._index = index

    def read(self) -> dict[str, Address]:
        """Return the permanent entries."""
        return dict(self._links.forwarding.get(self._index, {}))

    def put(self, mac: str, outer: Address) -> None:
        """Send frames for *mac* to *outer*."""
        if not self._links.exists(self._index):
            raise _refusal(f"put forwarding entry {mac}", errno.ENODEV)
        self._links.forwarding.setdefault(self._index, {})[mac] = outer

    def remove(self, mac: str) -> None:
        """Drop frames for *mac*."""
        self._links.forwarding.get(self._index, {}).pop(mac, None)


def _link(index: int, end: VethEnd, kind: str, mtu_bytes: int) -> Link:
    return Link(
        index=index, name=end.name, kind=kind, mac=end.mac, mtu_bytes=mtu_bytes, is_up=False
    )


def _check_device(links: FakeLinks, name: str, what: str) -> None:
    link = links.get(name)
    if link is None:
        raise _refusal(what, errno.ENODEV)
    if not link.is_up:
        raise _refusal(what, errno.ENETDOWN)


def _refusal(what: str, code: int) -> KernelError:
    return KernelError(f"{what}: {errno.errorcode[code]} ({os.strerror(code)})", errno=code)
