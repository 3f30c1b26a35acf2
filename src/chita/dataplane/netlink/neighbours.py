"""Permanent neighbours of a device, and the forwarding entries of a VXLAN device.

Both are static: nothing here waits for ARP, neighbour discovery or learning. A permanent entry is
never collected, and an answer on the wire does not change it (NUD_PERMANENT, linux/neighbour.h).
`chita.dataplane.plan.sync` makes either of them hold exactly what is desired.
"""

from __future__ import annotations

import errno
import struct
from socket import AF_INET, AF_INET6

from chita.dataplane.netlink import numbers as nl
from chita.dataplane.netlink.message import attribute, attributes, mac_bytes, mac_text
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.errors import KernelError
from chita.model.net import Address

_NDMSG = struct.Struct("=BxxxiHBB")
"""struct ndmsg: family, index, state, flags, type."""
_AF: dict[int, int] = {4: AF_INET, 6: AF_INET6}
_AF_BRIDGE = 7
_GONE = {errno.ENOENT, errno.ENODEV, errno.ENXIO}


class Neighbours:
    """The permanent neighbours of one device: hardware address by address.

    Those that the kernel learned or made for its own multicast groups are not listed and not
    touched. Blocking; one thread at a time.
    """

    def __init__(self, socket: NetlinkSocket, index: int) -> None:
        self._socket = socket
        self._index = index

    def read(self) -> dict[Address, str]:
        """Return the permanent entries of both families."""
        found: dict[Address, str] = {}
        for af in (AF_INET, AF_INET6):
            body = _NDMSG.pack(af, 0, 0, 0, 0) + _if_index(self._index)
            what = f"list neighbours of link {self._index}"
            for answer in self._socket.dump(nl.RTM_GETNEIGH, body, what=what):
                _, index, state, _, _ = _NDMSG.unpack_from(answer)
                values = dict(attributes(answer, _NDMSG.size))
                if index == self._index and state == nl.NUD_PERMANENT and nl.NDA_LLADDR in values:
                    mac = mac_text(values[nl.NDA_LLADDR])
                    found[Address.from_packed(values[nl.NDA_DST])] = mac
        return found

    def put(self, address: Address, mac: str) -> None:
        """Make *mac* the hardware address of *address*, whatever was known of it."""
        body = _NDMSG.pack(_AF[address.family], self._index, nl.NUD_PERMANENT, 0, 0)
        body += attribute(nl.NDA_DST, address.packed) + attribute(nl.NDA_LLADDR, mac_bytes(mac))
        _put(self._socket, body, f"put neighbour {address} at {mac} on link {self._index}")

    def remove(self, address: Address) -> None:
        """Forget *address*; one that is not known is forgotten already."""
        body = _NDMSG.pack(_AF[address.family], self._index, 0, 0, 0)
        body += attribute(nl.NDA_DST, address.packed)
        _remove(self._socket, body, f"remove neighbour {address} from link {self._index}")


class ForwardingEntries:
    """The static forwarding entries of one VXLAN device: outer address by hardware address."""

    def __init__(self, socket: NetlinkSocket, index: int) -> None:
        self._socket = socket
        self._index = index

    def read(self) -> dict[str, Address]:
        """Return the permanent entries."""
        body = _NDMSG.pack(_AF_BRIDGE, self._index, 0, 0, 0)
        what = f"list forwarding entries of link {self._index}"
        found: dict[str, Address] = {}
        for answer in self._socket.dump(nl.RTM_GETNEIGH, body, what=what):
            _, index, state, _, _ = _NDMSG.unpack_from(answer)
            values = dict(attributes(answer, _NDMSG.size))
            if index == self._index and state & nl.NUD_PERMANENT and nl.NDA_DST in values:
                found[mac_text(values[nl.NDA_LLADDR])] = Address.from_packed(values[nl.NDA_DST])
        return found

    def put(self, mac: str, outer: Address) -> None:
        """Send frames for *mac* to *outer*, and nowhere else."""
        body = _NDMSG.pack(_AF_BRIDGE, self._index, nl.NUD_PERMANENT, nl.NTF_SELF, 0)
        body += attribute(nl.NDA_LLADDR, mac_bytes(mac)) + attribute(nl.NDA_DST, outer.packed)
        _put(self._socket, body, f"put forwarding entry {mac} to {outer} on link {self._index}")

    def remove(self, mac: str) -> None:
        """Drop frames for *mac*; one without an entry is dropped already."""
        body = _NDMSG.pack(_AF_BRIDGE, self._index, 0, nl.NTF_SELF, 0)
        body += attribute(nl.NDA_LLADDR, mac_bytes(mac))
        _remove(self._socket, body, f"remove forwarding entry {mac} from link {self._index}")


def _if_index(index: int) -> bytes:
    """Return the dump filter that takes a device (NDA_IFINDEX, linux/neighbour.h)."""
    return attribute(8, struct.pack("=I", index))


def _put(socket: NetlinkSocket, body: bytes, what: str) -> None:
    socket.request(nl.RTM_NEWNEIGH, nl.NLM_F_CREATE | nl.NLM_F_REPLACE, body, what=what)


def _remove(socket: NetlinkSocket, body: bytes, what: str) -> None:
    try:
        socket.request(nl.RTM_DELNEIGH, 0, body, what=what)
    except KernelError as error:
        if error.errno not in _GONE:
            raise
