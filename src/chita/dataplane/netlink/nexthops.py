"""Nexthop objects of ours (`RTM_NEWNEXTHOP`, Linux 5.3): read, put and remove them by number.

Ours are those with our protocol number. A put replaces in one step what routes and groups name;
removing one removes every route that names it (net/ipv4/nexthop.c), so routes go first.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Mapping
from socket import AF_INET, AF_INET6, AF_UNSPEC

import msgspec

from chita.dataplane.netlink import numbers as nl
from chita.dataplane.netlink.links import Links
from chita.dataplane.netlink.message import attribute, attributes, nested, number, u16, u32
from chita.dataplane.netlink.rules import OURS, RoutingIdentity
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.desired.nexthops import DeviceHop, HopGroup, Nexthop, TransitHop
from chita.errors import KernelError, NotFoundError
from chita.model.net import Address, Family

_NHMSG = struct.Struct("=BBBBI")
"""struct nhmsg: family, scope, protocol, reserved, flags."""
_MEMBER = struct.Struct("=IBBH")
"""struct nexthop_grp: number, weight less one, its high byte, reserved."""
_AF: dict[Family, int] = {4: AF_INET, 6: AF_INET6}
_FAMILY: dict[int, Family] = {AF_INET: 4, AF_INET6: 6}
_ENCAP = {4: nl.LWTUNNEL_ENCAP_IP, 6: nl.LWTUNNEL_ENCAP_IP6}
_OUTER = {encap: family for family, encap in _ENCAP.items()}
_FLAGS = {4: 0, 6: nl.TUNNEL_CSUM}
"""RFC 8200 section 8.1: UDP over IPv6 has a checksum. Over IPv4 WireGuard's is enough."""


class ForeignHop(msgspec.Struct, frozen=True):
    """A nexthop with our protocol number that we can't have put there."""


class NexthopTable:
    """Our nexthops in a socket's namespace. Blocking; one thread at a time.

    Args:
        socket: of that namespace.
        links: its devices.
        vni: what the packets of a `TransitHop` carry.
        identity: whose nexthops these are.
    """

    def __init__(
        self, socket: NetlinkSocket, links: Links, vni: int, identity: RoutingIdentity = OURS
    ) -> None:
        self._socket = socket
        self._links = links
        self._vni = vni
        self._protocol = identity.protocol
        self._foreign: set[int] = set()

    def read(self) -> dict[int, Nexthop | ForeignHop]:
        """Return all nexthops with our protocol number."""
        names = {link.index: link.name for link in self._links.read().values()}
        found: dict[int, Nexthop | ForeignHop] = {}
        body = _NHMSG.pack(AF_UNSPEC, 0, 0, 0, 0)
        for answer in self._socket.dump(nl.RTM_GETNEXTHOP, body, what="list nexthops"):
            family, _, protocol, _, _ = _NHMSG.unpack_from(answer)
            if protocol == self._protocol:
                values = dict(attributes(answer, _NHMSG.size))
                found[number(values[nl.NHA_ID])] = self._nexthop(family, values, names)
        self._foreign = {key for key, hop in found.items() if isinstance(hop, ForeignHop)}
        return found

    def put(self, key: int, hop: Nexthop) -> None:
        """Make *hop* the one of that number; what has the number already is replaced in one step.

        Raises:
            KernelError: the device does not exist (ENODEV) or is down (ENETDOWN), a member does
                not exist (EINVAL).
        """
        if key in self._foreign:
            self.remove(key)  # a group never becomes a single one, nor the other way round
        what = f"put nexthop {key} {describe_nexthop(hop)}"
        self._socket.request(
            nl.RTM_NEWNEXTHOP,
            nl.NLM_F_CREATE | nl.NLM_F_REPLACE,
            self._body(key, hop, what),
            what=what,
        )

    def remove(self, key: int) -> None:
        """Remove the nexthop of that number, from its groups too; one that is gone is removed."""
        self._foreign.discard(key)
        body = _NHMSG.pack(AF_UNSPEC, 0, 0, 0, 0) + u32(nl.NHA_ID, key)
        try:
            self._socket.request(nl.RTM_DELNEXTHOP, 0, body, what=f"remove nexthop {key}")
        except KernelError as error:
            if error.errno != errno.ENOENT:
                raise

    def _body(self, key: int, hop: Nexthop, what: str) -> bytes:
        family, parts = int(AF_UNSPEC), [u32(nl.NHA_ID, key)]
        match hop:
            case HopGroup():
                members = b"".join(_MEMBER.pack(member, 0, 0, 0) for member in hop.members)
                parts.append(attribute(nl.NHA_GROUP, members))
            case DeviceHop():
                family = _AF[hop.family]
                parts.append(self._device(hop.device, what))
            case TransitHop():
                family = _AF[hop.family]
                parts.append(self._device(hop.device, what))
                outer = hop.relay.family
                parts.append(u16(nl.NHA_ENCAP_TYPE, _ENCAP[outer]))
                settings = [
                    attribute(nl.LWTUNNEL_IP_ID, self._vni.to_bytes(8)),
                    attribute(nl.LWTUNNEL_IP_DST, hop.relay.packed),
                    attribute(nl.LWTUNNEL_IP_SRC, hop.source.packed),
                    attribute(nl.LWTUNNEL_IP_FLAGS, _FLAGS[outer].to_bytes(2)),
                ]
                parts.append(nested(nl.NHA_ENCAP, *settings))
        return _NHMSG.pack(family, 0, self._protocol, 0, 0) + b"".join(parts)

    def _device(self, name: str, what: str) -> bytes:
        try:
            return u32(nl.NHA_OIF, self._links.index(name))
        except NotFoundError as error:
            text = f"{what}: ENODEV (no device {name})"
            raise KernelError(text, errno=errno.ENODEV) from error

    def _nexthop(
        self, af: int, values: Mapping[int, bytes], names: Mapping[int, str]
    ) -> Nexthop | ForeignHop:
        group = values.get(nl.NHA_GROUP)
        if group is not None:
            members = list(_MEMBER.iter_unpack(group))
            kind = number(values.get(nl.NHA_GROUP_TYPE, b"\0"))
            if kind != nl.NEXTHOP_GRP_TYPE_MPATH or any(weight for _, weight, _, _ in members):
                return ForeignHop()
            return HopGroup(tuple(member for member, _, _, _ in members))
        family = _FAMILY.get(af)
        device = names.get(number(values.get(nl.NHA_OIF, b"\0")))
        odd = {nl.NHA_GATEWAY, nl.NHA_BLACKHOLE} & values.keys()
        if family is None or device is None or odd:
            return ForeignHop()
        encap = values.get(nl.NHA_ENCAP)
        if encap is None:
            return DeviceHop(family, device)
        outer = _OUTER.get(number(values.get(nl.NHA_ENCAP_TYPE, b"\0")))
        found = dict(attributes(encap))
        flags = int.from_bytes(found.get(nl.LWTUNNEL_IP_FLAGS, b"\0"))
        vni = int.from_bytes(found.get(nl.LWTUNNEL_IP_ID, b"\0"))
        if outer is None or vni != self._vni or flags & _FLAGS[outer] != _FLAGS[outer]:
            return ForeignHop()
        return TransitHop(
            family=family,
            device=device,
            source=Address.from_packed(found[nl.LWTUNNEL_IP_SRC]),
            relay=Address.from_packed(found[nl.LWTUNNEL_IP_DST]),
        )


def describe_nexthop(hop: Nexthop) -> str:
    """Return *hop* as ``ip nexthop`` writes it."""
    match hop:
        case DeviceHop():
            return f"dev {hop.device} IPv{hop.family}"
        case TransitHop():
            words = f"src {hop.source} dst {hop.relay} dev {hop.device}"
            return f"encap ip {words} IPv{hop.family}"
        case HopGroup():
            return f"group {'/'.join(map(str, hop.members))}"
