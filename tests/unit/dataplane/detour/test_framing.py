"""Datagrams survive a stream, however it is cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chita.dataplane.detour.framing import Unframer, framed

DATAGRAMS = st.lists(st.binary(min_size=1, max_size=300), max_size=20)


@given(DATAGRAMS, st.lists(st.integers(1, 400), min_size=1, max_size=60))
def test_any_cut_gives_the_same_datagrams(datagrams: list[bytes], cuts: list[int]) -> None:
    stream, unframer, found, start = framed(datagrams), Unframer(), list[bytes](), 0
    for cut in [*cuts, len(stream)]:
        found += unframer.datagrams(stream[start : start + cut])
        start += cut
    assert datagrams == found


def test_lengths_are_two_bytes_in_network_order() -> None:
    assert b"\x00\x02ab\x01\x00" + b"x" * 256 == framed([b"ab", b"x" * 256])


def test_keepalives_are_no_datagrams() -> None:
    assert [b"a"] == Unframer().datagrams(framed([b"", b"a", b""]))


def test_the_largest_datagram() -> None:
    largest = b"x" * 0xFFFF
    assert [largest] == Unframer().datagrams(framed([largest]))
