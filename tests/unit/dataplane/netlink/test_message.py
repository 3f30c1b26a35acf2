"""Netlink bytes: what is packed is found again, and nonsense ends the reading."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chita.dataplane.netlink.message import (
    attribute,
    attributes,
    mac_bytes,
    mac_text,
    message,
    messages,
    nested,
    number,
    string,
    text,
    u8,
    u16,
    u32,
)

PAIRS = st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=40)))


@given(pairs=PAIRS, head=st.integers(0, 4))
def test_attributes_read_back(pairs: list[tuple[int, bytes]], head: int) -> None:
    """In order, from an offset, each padded to four bytes (linux/netlink.h, NLA_ALIGNTO)."""
    body = bytes(head * 4) + b"".join(attribute(kind, payload) for kind, payload in pairs)

    assert len(body) % 4 == 0
    assert list(attributes(body, head * 4)) == pairs


@given(parts=st.lists(st.tuples(st.integers(16, 99), st.integers(0, 9), st.binary(max_size=9))))
def test_messages_read_back(parts: list[tuple[int, int, bytes]]) -> None:
    """Several messages share a datagram; each begins on four bytes."""
    datagram = b""
    for kind, sequence, body in parts:
        packed = message(kind, 5, sequence, body)
        datagram += packed + bytes(-len(packed) % 4)

    found = [(kind, sequence, body) for kind, _, sequence, _, body in messages(datagram)]

    assert found == parts


@given(st.binary(max_size=64))
def test_nonsense_ends(body: bytes) -> None:
    """Any bytes are read to an end without an error: the kernel is trusted, our offsets are not."""
    assert len(list(attributes(body))) <= len(body)
    assert len(list(messages(body))) <= len(body)


def test_values_read_back() -> None:
    """Numbers of each width, strings, hardware addresses, nested attributes without their flag."""
    body = nested(7, u8(1, 200), u16(2, 60000), u32(3, 1 << 31), text(4, "eth0"))
    ((kind, inner),) = attributes(body)
    values = dict(attributes(inner))

    assert kind == 7
    assert [number(values[it]) for it in (1, 2, 3)] == [200, 60000, 1 << 31]
    assert string(values[4]) == "eth0"
    assert mac_text(mac_bytes("02:00:5e:10:00:ff")) == "02:00:5e:10:00:ff"
    assert mac_text(b"") == ""
