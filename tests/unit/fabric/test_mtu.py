"""What is left for the inner packet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chita.fabric.mtu import WIREGUARD_OVERHEAD, vxlan_mtu, wireguard_mtu


@pytest.mark.parametrize(
    ("wire", "family", "expected"),
    [
        pytest.param(1500, 4, 1450, id="ethernet"),
        pytest.param(1500, 6, 1430, id="over-ipv6"),
        pytest.param(9001, 4, 8951, id="jumbo"),
        pytest.param(1400, 4, 1350, id="azure"),
    ],
)
def test_vxlan(wire: int, family: int, expected: int) -> None:
    """Inner Ethernet 14, VXLAN 8, UDP 8, outer IP 20 or 40 (RFC 7348 section 5)."""
    assert expected == vxlan_mtu(wire, outer_family=family)


@given(st.integers(1280, 9001), st.sampled_from([4, 6]))
def test_wireguard_pads_within_the_wire(wire: int, family: int) -> None:
    """A multiple of 16, the largest that fits with its overhead."""
    inner = wireguard_mtu(wire, outer_family=family)
    room = wire - WIREGUARD_OVERHEAD[family]

    assert 0 == inner % 16
    assert room - 16 < inner <= room
