"""Links and their addresses: devices of one network namespace."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path
from socket import AF_INET, AF_INET6

import msgspec

from chita.dataplane.netlink import numbers as nl
from chita.dataplane.netlink.message import (
    attribute,
    attributes,
    mac_bytes,
    mac_text,
    nested,
    number,
    string,
    text,
    u8,
    u32,
)
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.errors import KernelError, NotFoundError, UnsupportedError
from chita.model.net import Address

_IFINFO = struct.Struct("=BxHiII")  # struct ifinfomsg: family, device type, index, flags, change
_IFADDR = struct.Struct("=BBBBI")  # struct ifaddrmsg: family, prefix, flags, scope, index
_NO_STATISTICS = u32(nl.IFLA_EXT_MASK, 1 << 3)  # RTEXT_FILTER_SKIP_STATS: half the bytes
_AF: dict[int, int] = {4: AF_INET, 6: AF_INET6}
_GONE = {errno.ENODEV, errno.EADDRNOTAVAIL}


class VxlanParameters(msgspec.Struct, frozen=True, kw_only=True):
    """What cannot be changed of a VXLAN device once it exists (RFC 7348)."""

    vni: int
    port: int
    local: Address | None
    is_learning: bool = False
    is_transit: bool = False
    """IP without Ethernet (VXLAN-GPE), and each route says where to: ``gpe external``."""


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A device as the kernel holds it."""

    index: int
    name: str
    kind: str
    """``veth``, ``vxlan``, ``tun``, ...; empty for hardware and loopback."""
    mac: str
    """Empty where the device has none, as TUN and WireGuard."""
    mtu_bytes: int
    is_up: bool
    """Administratively; the carrier is another matter."""
    peer_index: int = 0
    """Of a veth's other end, in that end's namespace; 0 for most other kinds (IFLA_LINK)."""
    vxlan: VxlanParameters | None = None


class VethEnd(msgspec.Struct, frozen=True, kw_only=True):
    """One end of a veth pair to be made."""

    name: str
    mac: str
    namespace: Path | None = None
    """None: the namespace of the socket."""


class InterfaceAddress(msgspec.Struct, frozen=True, order=True):
    """An address of a device with the prefix of its subnet."""

    address: Address
    prefix: int

    def __str__(self) -> str:
        return f"{self.address}/{self.prefix}"


class Links:
    """The devices of a socket's namespace. Blocking; one thread at a time."""

    def __init__(self, socket: NetlinkSocket) -> None:
        self._socket = socket

    def read(self) -> dict[str, Link]:
        """Return all devices by name."""
        body = _IFINFO.pack(0, 0, 0, 0, 0) + _NO_STATISTICS
        links = map(_link, self._socket.dump(nl.RTM_GETLINK, body, what="list links"))
        return {link.name: link for link in links}

    def get(self, name: str) -> Link | None:
        """Return the device of that name, or None."""
        body = _IFINFO.pack(0, 0, 0, 0, 0) + _NO_STATISTICS + text(nl.IFLA_IFNAME, name)
        try:
            (answer,) = self._socket.request(nl.RTM_GETLINK, 0, body, what=f"get link {name}")
        except KernelError as error:
            if error.errno == errno.ENODEV:
                return None
            raise
        return _link(answer)

    def index(self, name: str) -> int:
        """Return the index of the device of that name.

        Raises:
            NotFoundError: there is none in this namespace.
        """
        link = self.get(name)
        if link is None:
            raise NotFoundError(f"link {name} does not exist")
        return link.index

    def add_veth(self, near: VethEnd, far: VethEnd, *, mtu_bytes: int) -> None:
        """Make a pair, whole or not at all; both ends are down.

        An end cannot come up before its peer is there (veth_open answers ENOTCONN).

        Raises:
            KernelError: EEXIST when either name is taken.
        """
        what = f"add veth {near.name} with peer {far.name}"
        descriptor = -1
        peer = _end(far, mtu_bytes)
        if far.namespace is not None:
            try:
                descriptor = os.open(far.namespace, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                reason = f"{what} in {far.namespace}: {error.strerror}"
                raise KernelError(reason, errno=error.errno or 0) from error
            peer += u32(nl.IFLA_NET_NS_FD, descriptor)
        try:
            info = nested(
                nl.IFLA_LINKINFO,
                text(nl.IFLA_INFO_KIND, "veth"),
                nested(
                    nl.IFLA_INFO_DATA,
                    attribute(nl.VETH_INFO_PEER, _IFINFO.pack(0, 0, 0, 0, 0) + peer),
                ),
            )
            self._add(_IFINFO.pack(0, 0, 0, 0, 0) + _end(near, mtu_bytes) + info, what)
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def add_vxlan(
        self, name: str, parameters: VxlanParameters, *, mac: str, mtu_bytes: int
    ) -> None:
        """Make a VXLAN device without remote or group, down.

        The family of the outer packets is that of *parameters.local*; without it IPv4, or for
        transit that which each route says.
        """
        settings = [
            attribute(nl.IFLA_VXLAN_PORT, parameters.port.to_bytes(2)),
            u8(nl.IFLA_VXLAN_LEARNING, int(parameters.is_learning)),
        ]
        if parameters.is_transit:
            # The VNI is part of each route.
            settings.append(u8(nl.IFLA_VXLAN_COLLECT_METADATA, 1))
            settings.append(attribute(nl.IFLA_VXLAN_GPE, b""))
        else:
            settings.append(u32(nl.IFLA_VXLAN_ID, parameters.vni))
        if parameters.local is not None:
            kind = nl.IFLA_VXLAN_LOCAL if parameters.local.family == 4 else nl.IFLA_VXLAN_LOCAL6
            settings.append(attribute(kind, parameters.local.packed))
        info = nested(
            nl.IFLA_LINKINFO,
            text(nl.IFLA_INFO_KIND, "vxlan"),
            nested(nl.IFLA_INFO_DATA, *settings),
        )
        body = _IFINFO.pack(0, 0, 0, 0, 0) + _end(VethEnd(name=name, mac=mac), mtu_bytes) + info
        self._add(body, f"add vxlan {name} vni {parameters.vni} port {parameters.port}")

    def add_plain(self, name: str, kind: str, *, mtu_bytes: int) -> None:
        """Make a device of a kind that takes no parameters, such as ``wireguard``, down."""
        body = _IFINFO.pack(0, 0, 0, 0, 0) + text(nl.IFLA_IFNAME, name)
        body += u32(nl.IFLA_MTU, mtu_bytes)
        body += nested(nl.IFLA_LINKINFO, text(nl.IFLA_INFO_KIND, kind))
        self._add(body, f"add {kind} {name}")

    def disable_link_local(self, index: int) -> None:
        """Let a device have no IPv6 link-local address of its own when it comes up.

        One without IPv6, as with an MTU below 1280 (RFC 8200 section 5), has none anyway.
        """
        none = u8(nl.IFLA_INET6_ADDR_GEN_MODE, nl.IN6_ADDR_GEN_MODE_NONE)
        body = _IFINFO.pack(0, 0, index, 0, 0)
        body += nested(nl.IFLA_AF_SPEC, nested(AF_INET6, none))
        try:
            self._set(body, f"set link {index} addrgenmode none")
        except UnsupportedError as error:
            if error.errno != errno.EAFNOSUPPORT:
                raise

    def set_up(self, index: int) -> None:
        """Bring a device up; twice is once."""
        self._set(_up(index), f"set link {index} up")

    def set_down(self, index: int) -> None:
        """Take a device down, and its routes with it; twice is once."""
        body = _IFINFO.pack(0, 0, index, 0, nl.IFF_UP)
        self._set(body, f"set link {index} down")

    def set_mtu(self, index: int, mtu_bytes: int) -> None:
        """Change a device's MTU."""
        body = _IFINFO.pack(0, 0, index, 0, 0) + u32(nl.IFLA_MTU, mtu_bytes)
        self._set(body, f"set link {index} mtu {mtu_bytes}")

    def set_mac(self, index: int, mac: str) -> None:
        """Change a device's hardware address."""
        body = _IFINFO.pack(0, 0, index, 0, 0) + attribute(nl.IFLA_ADDRESS, mac_bytes(mac))
        self._set(body, f"set link {index} address {mac}")

    def remove(self, name: str) -> None:
        """Remove a device; one that does not exist is removed already."""
        body = _IFINFO.pack(0, 0, 0, 0, 0) + text(nl.IFLA_IFNAME, name)
        try:
            self._socket.request(nl.RTM_DELLINK, 0, body, what=f"remove link {name}")
        except KernelError as error:
            if error.errno not in _GONE:
                raise

    def read_addresses(self, index: int) -> set[InterfaceAddress]:
        """Return the addresses of a device, without IPv6 link-local ones."""
        body = _IFADDR.pack(0, 0, 0, 0, index)
        found: set[InterfaceAddress] = set()
        for answer in self._socket.dump(nl.RTM_GETADDR, body, what=f"list addresses of {index}"):
            _, prefix, _, scope, owner = _IFADDR.unpack_from(answer)
            if owner != index or scope == nl.RT_SCOPE_LINK:
                continue
            values = dict(attributes(answer, _IFADDR.size))
            packed = values.get(nl.IFA_LOCAL) or values[nl.IFA_ADDRESS]
            found.add(InterfaceAddress(Address.from_packed(packed), prefix))
        return found

    def put_address(self, index: int, value: InterfaceAddress) -> None:
        """Give a device an address, usable at once (no duplicate address detection)."""
        self._socket.request(
            nl.RTM_NEWADDR,
            nl.NLM_F_CREATE | nl.NLM_F_REPLACE,
            _address(index, value) + u32(nl.IFA_FLAGS, nl.IFA_F_NODAD | nl.IFA_F_PERMANENT),
            what=f"put address {value} on link {index}",
        )

    def remove_address(self, index: int, value: InterfaceAddress) -> None:
        """Take an address from a device; one that is not there is taken already."""
        what = f"remove address {value} from link {index}"
        try:
            self._socket.request(nl.RTM_DELADDR, 0, _address(index, value), what=what)
        except KernelError as error:
            if error.errno not in _GONE:
                raise

    def _add(self, body: bytes, what: str) -> None:
        self._socket.request(nl.RTM_NEWLINK, nl.NLM_F_CREATE | nl.NLM_F_EXCL, body, what=what)

    def _set(self, body: bytes, what: str) -> None:
        self._socket.request(nl.RTM_NEWLINK, 0, body, what=what)


def _up(index: int) -> bytes:
    return _IFINFO.pack(0, 0, index, nl.IFF_UP, nl.IFF_UP)


def _end(end: VethEnd, mtu_bytes: int) -> bytes:
    mac = attribute(nl.IFLA_ADDRESS, mac_bytes(end.mac)) if end.mac else b""
    return text(nl.IFLA_IFNAME, end.name) + mac + u32(nl.IFLA_MTU, mtu_bytes)


def _address(index: int, value: InterfaceAddress) -> bytes:
    packed = value.address.packed
    header = _IFADDR.pack(_AF[value.address.family], value.prefix, 0, 0, index)
    return header + attribute(nl.IFA_LOCAL, packed) + attribute(nl.IFA_ADDRESS, packed)


def _link(body: bytes) -> Link:
    _, _, index, flags, _ = _IFINFO.unpack_from(body)
    values = dict(attributes(body, _IFINFO.size))
    info = dict(attributes(values.get(nl.IFLA_LINKINFO, b"")))
    kind = string(info.get(nl.IFLA_INFO_KIND, b""))
    return Link(
        index=index,
        name=string(values[nl.IFLA_IFNAME]),
        kind=kind,
        mac=mac_text(values.get(nl.IFLA_ADDRESS, b"")),
        mtu_bytes=number(values.get(nl.IFLA_MTU, b"\0")),
        is_up=bool(flags & nl.IFF_UP),
        peer_index=number(values.get(nl.IFLA_LINK, b"\0")),
        vxlan=_vxlan(info.get(nl.IFLA_INFO_DATA, b"")) if kind == "vxlan" else None,
    )


def _vxlan(body: bytes) -> VxlanParameters:
    values = dict(attributes(body))
    local = values.get(nl.IFLA_VXLAN_LOCAL) or values.get(nl.IFLA_VXLAN_LOCAL6)
    return VxlanParameters(
        vni=number(values.get(nl.IFLA_VXLAN_ID, b"\0")),
        port=int.from_bytes(values[nl.IFLA_VXLAN_PORT]),
        local=Address.from_packed(local) if local else None,
        is_learning=bool(number(values.get(nl.IFLA_VXLAN_LEARNING, b"\0"))),
        is_transit=nl.IFLA_VXLAN_GPE in values,
    )
