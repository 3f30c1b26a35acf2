"""Ports are joined to as few ranges as possible, and mean what they meant."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chita.convert.ports import PortsByProtocol, V3Port, simplified
from chita.model.net import PortRange

ranges = st.tuples(st.integers(1, 65535), st.integers(0, 40)).map(
    lambda pair: PortRange(pair[0], min(65535, pair[0] + pair[1]))
)


def text(numbers: PortRange) -> V3Port:
    return numbers.first if numbers.first == numbers.last else str(numbers)


@given(st.lists(ranges, max_size=12))
def test_same_ports(numbers: list[PortRange]) -> None:
    """The same numbers, in ranges that neither touch nor overlap, in order."""
    before = {port for each in numbers for port in range(each.first, each.last + 1)}
    joined = [PortRange.parse(port) for port in simplified([text(each) for each in numbers])]
    after = [port for each in joined for port in range(each.first, each.last + 1)]

    assert sorted(before) == after
    assert all(a.last + 1 < b.first for a, b in pairwise(joined))


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        pytest.param([80, "http"], [80, "http"], id="one-number-stays-in-place"),
        pytest.param(["http"], ["http"], id="name"),
        pytest.param([81, "http", 80], ["http", "80:81"], id="names-first"),
    ],
)
def test_as_upstream_prints(ports: list[V3Port], expected: list[V3Port]) -> None:
    assert expected == simplified(ports)


def test_everything_wins_over_protocols() -> None:
    """An entry for any protocol and port makes all others needless."""
    ports = PortsByProtocol()
    ports.add("TCP", 80)
    ports.add("", None)

    assert [("", [])] == ports.sorted()
