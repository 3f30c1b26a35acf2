"""Packets wrapped by ourselves: an echo request in VXLAN-GPE, as a relay gets it from a route."""

from __future__ import annotations

import struct

from chita.dataplane.probes.icmp import checksum, echo_request
from chita.model.net import ICMP, ICMPV6, Address

_I_AND_P = 0x0C  # draft-ietf-nvo3-vxlan-gpe section 3.1: VNI and next protocol are valid
_NEXT_PROTOCOL: dict[int, int] = {4: 1, 6: 2}
_TTL = 64
_DONT_FRAGMENT = 0x4000


def gpe_header(vni: int, family: int) -> bytes:
    """Return the eight bytes before an IP packet of *family* (draft-ietf-nvo3-vxlan-gpe)."""
    return struct.pack("!BHBI", _I_AND_P, 0, _NEXT_PROTOCOL[family], vni << 8)


def echo_packet(
    source: Address, end: Address, *, identifier: int, sequence: int, payload: bytes
) -> bytes:
    """Return a whole IP packet with an echo request, never to be fragmented."""
    message = echo_request(end.family, identifier, sequence, payload)
    addresses = source.packed + end.packed
    if end.family == 6:
        # RFC 8200 section 8.1: the pseudo header counts as well.
        pseudo = addresses + struct.pack("!II", len(message), ICMPV6)
        message = message[:2] + struct.pack("!H", checksum(pseudo + message)) + message[4:]
        return struct.pack("!IHBB", 6 << 28, len(message), ICMPV6, _TTL) + addresses + message
    length = 20 + len(message)
    start = struct.pack("!BBHHHBB", 0x45, 0, length, 0, _DONT_FRAGMENT, _TTL, ICMP)
    header_sum = checksum(start + bytes(2) + addresses)
    return start + struct.pack("!H", header_sum) + addresses + message
