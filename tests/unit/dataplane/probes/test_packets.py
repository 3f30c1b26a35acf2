"""Packets of probes, byte by byte as the RFCs have them."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from chita.dataplane.probes.icmp import checksum, echo_request
from chita.dataplane.probes.packets import echo_packet, gpe_header
from chita.model.net import Address

A4, B4 = Address.parse("100.64.0.1"), Address.parse("100.64.0.2")
A6, B6 = Address.parse("fd00:100:64::1"), Address.parse("fd00:100:64::2")


def plain_sum(packet: bytes) -> int:
    """Sum up as RFC 1071 section 4.1 does, word by word."""
    total = 0
    for index in range(0, len(packet), 2):
        total += int.from_bytes(packet[index : index + 2].ljust(2, b"\0"))
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@given(st.binary(min_size=1, max_size=300), st.integers(0, 1500))
def test_checksum(data: bytes, zeros: int) -> None:
    """Zeros at the end are not looked at, and change nothing."""
    assert plain_sum(data + bytes(zeros)) == checksum(data + bytes(zeros))


def test_an_echo_request_of_ipv4() -> None:
    """RFC 792: type 8, code 0, checksum, identifier, sequence number."""
    packet = echo_request(4, 0x1234, 7, b"body")

    assert struct.unpack("!BBHHH", packet[:8])[:2] == (8, 0)
    assert packet[4:8] == b"\x12\x34\x00\x07"
    assert plain_sum(packet) == 0


def test_a_whole_packet_of_ipv4() -> None:
    packet = echo_packet(A4, B4, identifier=1, sequence=2, payload=bytes(100))

    assert packet[0] == 0x45
    assert int.from_bytes(packet[2:4]) == len(packet) == 128
    assert packet[6:8] == b"\x40\x00"  # do not fragment
    assert packet[9] == 1
    assert packet[12:20] == A4.packed + B4.packed
    assert plain_sum(packet[:20]) == 0
    assert plain_sum(packet[20:]) == 0


def test_a_whole_packet_of_ipv6() -> None:
    """RFC 4443 section 2.3: the checksum covers a pseudo header."""
    packet = echo_packet(A6, B6, identifier=1, sequence=2, payload=b"x")
    message = packet[40:]

    assert packet[0] >> 4 == 6
    assert int.from_bytes(packet[4:6]) == len(message) == 9
    assert packet[6] == 58
    assert plain_sum(packet[8:40] + struct.pack("!II", len(message), 58) + message) == 0


def test_the_header_for_a_relay() -> None:
    """draft-ietf-nvo3-vxlan-gpe section 3.1: flags I and P, next protocol, 24 bits of VNI."""
    assert bytes.fromhex("0c00000100100100") == gpe_header(4097, 4)
    assert bytes.fromhex("0c00000200100100") == gpe_header(4097, 6)
