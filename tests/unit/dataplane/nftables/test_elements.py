"""Intervals and concatenations as the kernel keeps them."""

from __future__ import annotations

import pytest

from chita.dataplane.nftables.elements import element_key, interval_keys
from chita.dataplane.nftables.objects import DataType, Value
from chita.dataplane.nftables.sets import merge
from chita.model.net import Address, Cidr, PortRange


@pytest.mark.parametrize(
    ("value", "size", "first", "after"),
    [
        pytest.param(Cidr.parse("10.0.0.0/8"), 4, "0a000000", "0b000000", id="network"),
        pytest.param(Cidr.parse("192.0.2.1/32"), 4, "c0000201", "c0000202", id="address"),
        pytest.param(Cidr.parse("255.255.255.0/24"), 4, "ffffff00", None, id="to-the-last"),
        pytest.param(Cidr.parse("fe80::/10"), 16, "fe80" + "0" * 28, "fec0" + "0" * 28, id="v6"),
        pytest.param(PortRange(80, 89), 2, "0050", "005a", id="ports"),
        pytest.param(PortRange(1024, 65535), 2, "0400", None, id="ports-to-the-last"),
    ],
)
def test_an_interval_ends_before_the_next_key(
    value: Value, size: int, first: str, after: str | None
) -> None:
    expected = bytes.fromhex(first), None if after is None else bytes.fromhex(after)

    assert expected == interval_keys(value, size)


def test_fields_of_a_concatenation_are_padded() -> None:
    types = (DataType.IPV4_ADDR, DataType.INET_PROTO, DataType.INET_SERVICE)
    key = element_key((Address.parse("10.0.0.1"), 6, 80), types)

    assert bytes.fromhex("0a0000010600000000500000") == key


def test_port_ranges_that_touch_are_one() -> None:
    ranges = [PortRange(90, 100), PortRange(80, 80), PortRange(81, 89), PortRange(95, 97)]

    assert [PortRange(80, 100)] == merge(ranges)
