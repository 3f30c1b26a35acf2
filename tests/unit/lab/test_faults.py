"""What faults make of a cloud, as values; what they do on the wire is in tests/kernel."""

from __future__ import annotations

import struct

import pytest

from chita.errors import UnsupportedError
from chita.lab.faults import Fault, LinkDown, NatRestarted, NatSwitched
from chita.lab.faults_clock import with_fast_clock
from chita.lab.faults_underlay import altered
from chita.lab.topology import topology
from chita.lab.underlay import NatKind
from lab_worlds import node, underlay, world

CLOUD = topology(
    world(
        underlay("net", provider="aws", publicCIDR="198.18.1.0/24"),
        node("one", "aws", public=["198.18.1.202"]),
        node("two", "aws"),
    )
).cloud("net")


def test_other_faults_alter_nothing() -> None:
    faults: list[Fault] = [
        LinkDown("one"),
        NatRestarted("other"),
        NatSwitched(cloud="other", kind=NatKind.NONE),
    ]

    assert CLOUD == altered(CLOUD, faults)


def test_a_restarted_nat_takes_no_nodes_address() -> None:
    """198.18.1.202 would be the first; it is a node's."""
    turns = [altered(CLOUD, [NatRestarted("net", turn)]).wan_addresses[0] for turn in (1, 2)]

    assert ["198.18.1.1", "198.18.1.203", "198.18.1.204"] == [
        str(address) for address in (CLOUD.wan_addresses[0], *turns)
    ]


def test_both_at_once() -> None:
    """Faults of one router add up: mending one leaves the other."""
    switched = NatSwitched(cloud="net", kind=NatKind.ENDPOINT_INDEPENDENT, udp_idle_seconds=7)
    changed = altered(CLOUD, [NatRestarted("net"), switched])

    assert NatKind.ENDPOINT_INDEPENDENT is changed.nat.kind
    assert (7, 7) == (changed.nat.udp_idle_seconds, changed.nat.udp_stream_seconds)
    assert CLOUD.wan_addresses != changed.wan_addresses


GO_EPOCH, TAI64 = struct.pack("<q", -62135596800), struct.pack("<Q", 0x400000000000000A)
STAMP = b"add" + GO_EPOCH + b"add" + TAI64
"""As a program has it: seconds of Go's clock, less its epoch, and TAI64's label added."""


def test_a_fast_clock_is_one_constant() -> None:
    """Also where the label's number stands elsewhere; nothing else is changed."""
    code = TAI64 + b"x" * 64 + STAMP + b"y" * 64 + GO_EPOCH
    fast = with_fast_clock(code, 3600)

    assert len(code) == len(fast)
    (at,) = [at for at in range(len(code) - 7) if code[at : at + 8] == TAI64 and at]
    assert code[:at] == fast[:at]
    assert 3600 + 0x400000000000000A == struct.unpack("<Q", fast[at : at + 8])[0]
    assert code[at + 8 :] == fast[at + 8 :]


@pytest.mark.parametrize(
    "code", [pytest.param(b"x" * 64, id="none"), pytest.param(STAMP + STAMP, id="two")]
)
def test_another_build_is_left_alone(code: bytes) -> None:
    with pytest.raises(UnsupportedError, match="another build"):
        with_fast_clock(code, 1)
