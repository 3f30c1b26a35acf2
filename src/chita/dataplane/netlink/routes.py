"""The routing table that is ours alone: read, put and remove routes by destination.

Our routes stand in a table of their own, so a restarted agent knows them by where they stand, and
nobody's routes are in the way (`chita.dataplane.netlink.rules` leads packets here).
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Mapping
from socket import AF_INET, AF_INET6
from typing import Protocol

import msgspec

from chita.dataplane.netlink import numbers as nl
from chita.dataplane.netlink.links import Links
from chita.dataplane.netlink.message import attribute, attributes, nested, number, u32
from chita.dataplane.netlink.rules import OURS, RoutingIdentity
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.dataplane.plan import apply, plan
from chita.desired.routes import Blackhole, ByNexthop, NextHop, OnDevice, Route, Via
from chita.errors import KernelError, NotFoundError
from chita.model.net import Address, Cidr, Family

_RTMSG = struct.Struct("=BBBBBBBBI")
"""struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags."""
_AF: dict[int, int] = {4: AF_INET, 6: AF_INET6}
_FAMILY: dict[int, Family] = {AF_INET: 4, AF_INET6: 6}
_TABLE_IN_ATTRIBUTE = nl.RT_TABLE_UNSPEC  # the header's field has eight bits


class Foreign(msgspec.Struct, frozen=True):
    """A route in our table that we can't have put there."""

    dst: Cidr


class RouteTable:
    """Our routing table in a socket's namespace, both families. Blocking; one thread at a time."""

    def __init__(
        self, socket: NetlinkSocket, links: Links, identity: RoutingIdentity = OURS
    ) -> None:
        self._socket = socket
        self._links = links
        self._identity = identity
        self._foreign: set[Cidr] = set()

    def read(self) -> dict[Cidr, Route | Foreign]:
        """Return all routes of the table by destination.

        Two routes to one destination (another metric, type of service) are `Foreign`: we put one.
        """
        names = {link.index: link.name for link in self._links.read().values()}
        found: dict[Cidr, Route | Foreign] = {}
        for family in (AF_INET, AF_INET6):
            body = _RTMSG.pack(family, 0, 0, 0, _TABLE_IN_ATTRIBUTE, 0, 0, 0, 0)
            body += u32(nl.RTA_TABLE, self._identity.table)
            what = f"list routes of table {self._identity.table}"
            try:
                answers = self._socket.dump(nl.RTM_GETROUTE, body, what=what)
            except KernelError as error:
                if error.errno == errno.ENOENT:  # the table does not exist before its first route
                    continue
                raise
            for answer in answers:
                route = self._route(answer, names)
                if route is not None:
                    found[route.dst] = Foreign(route.dst) if route.dst in found else route
        self._foreign = {dst for dst, route in found.items() if isinstance(route, Foreign)}
        return found

    def put(self, route: Route) -> None:
        """Make *route* the one to its destination; what we put there is replaced in one step.

        What somebody else put there, as the last `read` saw it, is removed first: a route of
        another metric would stand beside ours.

        Raises:
            KernelError: the device does not exist (ENODEV), the gateway is in no subnet of the
                device (EINVAL, ENETUNREACH, EHOSTUNREACH), the source is not ours (EINVAL).
        """
        table = self._identity.table
        if route.dst in self._foreign:
            self.remove(route.dst)
        self._socket.request(
            nl.RTM_NEWROUTE,
            nl.NLM_F_CREATE | nl.NLM_F_REPLACE,
            self._body(route, f"put route {describe(route)} table {table}"),
            what=f"put route {describe(route)} table {table}",
        )

    def remove(self, dst: Cidr) -> None:
        """Remove every route to *dst*; one that is not there is removed already."""
        self._foreign.discard(dst)
        table = self._identity.table
        body = _RTMSG.pack(_AF[dst.family], dst.prefix, 0, 0, _TABLE_IN_ATTRIBUTE, 0, 255, 0, 0)
        body += attribute(nl.RTA_DST, dst.address.packed) + u32(nl.RTA_TABLE, table)
        while True:
            try:
                what = f"remove route {dst} table {table}"
                self._socket.request(nl.RTM_DELROUTE, 0, body, what=what)
            except KernelError as error:
                # ENODEV, ENOENT: IPv6 without the table, or without IPv6
                if error.errno in (errno.ESRCH, errno.ENOENT, errno.ENODEV):
                    return
                raise

    def _body(self, route: Route, what: str) -> bytes:
        kind, scope, flags = nl.RTN_UNICAST, nl.RT_SCOPE_UNIVERSE, 0
        parts = [u32(nl.RTA_TABLE, self._identity.table)]
        parts.append(attribute(nl.RTA_DST, route.dst.address.packed))
        match route:
            case Blackhole():
                kind = nl.RTN_BLACKHOLE
            case Via():
                parts.append(attribute(nl.RTA_GATEWAY, route.gateway.packed))
                flags = nl.RTNH_F_ONLINK if route.next_hop is NextHop.ON_LINK else 0
            case OnDevice():
                scope = nl.RT_SCOPE_LINK if route.dst.family == 4 else nl.RT_SCOPE_UNIVERSE
            case ByNexthop():
                parts.append(u32(nl.RTA_NH_ID, route.nexthop))
        if isinstance(route, Via | OnDevice):
            try:
                parts.append(u32(nl.RTA_OIF, self._links.index(route.device)))
            except NotFoundError as error:
                text = f"{what}: ENODEV (no device {route.device})"
                raise KernelError(text, errno=errno.ENODEV) from error
        if not isinstance(route, Blackhole):
            if route.source is not None:
                parts.append(attribute(nl.RTA_PREFSRC, route.source.packed))
            if route.mtu_bytes is not None:
                parts.append(nested(nl.RTA_METRICS, u32(nl.RTAX_MTU, route.mtu_bytes)))
        header = _RTMSG.pack(
            _AF[route.dst.family], route.dst.prefix, 0, 0, _TABLE_IN_ATTRIBUTE,
            self._identity.protocol, scope, kind, flags,
        )  # fmt: skip
        return header + b"".join(parts)

    def _route(self, body: bytes, names: Mapping[int, str]) -> Route | Foreign | None:
        af, prefix, source, tos, _, protocol, _, kind, flags = _RTMSG.unpack_from(body)
        values = dict(attributes(body, _RTMSG.size))
        if number(values.get(nl.RTA_TABLE, b"\0")) != self._identity.table:
            return None  # a kernel that does not filter dumps
        family = _FAMILY[af]
        dst = Cidr(family, int.from_bytes(values.get(nl.RTA_DST, b"")), prefix)
        if source or tos or protocol != self._identity.protocol:
            return Foreign(dst)
        if kind == nl.RTN_BLACKHOLE:
            return Blackhole(dst)
        if kind != nl.RTN_UNICAST:
            return Foreign(dst)
        return _unicast(dst, values, names, flags)


def _unicast(
    dst: Cidr, values: Mapping[int, bytes], names: Mapping[int, str], flags: int
) -> Route | Foreign:
    metrics = dict(attributes(values.get(nl.RTA_METRICS, b"")))
    mtu_bytes = number(metrics[nl.RTAX_MTU]) if nl.RTAX_MTU in metrics else None
    prefsrc = values.get(nl.RTA_PREFSRC)
    source = Address.from_packed(prefsrc) if prefsrc else None
    if nl.RTA_NH_ID in values:
        # The rest of the answer spells out what the object holds (nexthop_compat_mode).
        nexthop = number(values[nl.RTA_NH_ID])
        return ByNexthop(dst=dst, nexthop=nexthop, source=source, mtu_bytes=mtu_bytes)
    device = names.get(number(values.get(nl.RTA_OIF, b"\0")))
    if device is None or {nl.RTA_MULTIPATH, nl.RTA_VIA} & values.keys():
        return Foreign(dst)
    gateway = values.get(nl.RTA_GATEWAY)
    if gateway is None:
        return OnDevice(dst=dst, device=device, source=source, mtu_bytes=mtu_bytes)
    return Via(
        dst=dst,
        gateway=Address.from_packed(gateway),
        device=device,
        next_hop=NextHop.ON_LINK if flags & nl.RTNH_F_ONLINK else NextHop.IN_SUBNET,
        source=source,
        mtu_bytes=mtu_bytes,
    )


class Routes(Protocol):
    """What `sync_routes` needs of a table: `RouteTable`, or its fake."""

    def read(self) -> dict[Cidr, Route | Foreign]:
        """Return all routes by destination."""

    def put(self, route: Route) -> None:
        """Make *route* the one to its destination."""

    def remove(self, dst: Cidr) -> None:
        """Remove every route to *dst*."""


def sync_routes(desired: Mapping[Cidr, Route], table: Routes) -> dict[Cidr, KernelError]:
    """Make *table* hold exactly *desired*; return what the kernel refused, by destination.

    Raises:
        KernelError: the table could not be read.
    """
    return apply(plan(desired, table.read()), lambda _, route: table.put(route), table.remove)


def describe(route: Route) -> str:
    """Return *route* as ``ip route`` writes it."""
    match route:
        case Blackhole():
            return f"blackhole {route.dst}"
        case Via():
            onlink = " onlink" if route.next_hop is NextHop.ON_LINK else ""
            words = f"{route.dst} via {route.gateway} dev {route.device}{onlink}"
        case OnDevice():
            words = f"{route.dst} dev {route.device}"
        case ByNexthop():
            words = f"{route.dst} nhid {route.nexthop}"
    words += f" src {route.source}" if route.source else ""
    return words + (f" mtu {route.mtu_bytes}" if route.mtu_bytes else "")
