"""From counters by destination to what each node is sent."""

from __future__ import annotations

from chita.fabric.loads import Loads, Places
from chita.model.net import Address, Cidr

PLACES = Places(
    {
        "a": [Cidr.parse("10.244.0.0/26"), Cidr.parse("100.64.0.1/32")],
        "b": [Cidr.parse("10.244.0.64/27"), Cidr.parse("fd00:10:244::/122")],
        "c": [Cidr.parse("10.244.0.9/32")],
    }
)


def test_an_address_belongs_to_the_longest_network() -> None:
    texts = ("10.244.0.8", "10.244.0.9", "100.64.0.1", "fd00:10:244::3f", "10.244.0.96")

    assert ["a", "c", "a", "b", None] == [PLACES.node(Address.parse(it)) for it in texts]


def test_rates_are_of_what_came_on_top() -> None:
    """A counter that the kernel forgot counts from nothing; what nobody has is nobody's."""
    block, node, other, nobody = (
        Address.parse(it) for it in ("10.244.0.0", "100.64.0.1", "10.244.0.64", "192.0.2.1")
    )
    loads = Loads()
    first = loads.rates({block: 1000, other: 5000}, PLACES, 10.0)
    then = loads.rates({block: 1600, node: 400, other: 500, nobody: 9}, PLACES, 12.0)

    assert first == {}
    assert then == {"a": 500.0, "b": 250.0}
