"""Networks of one selector spread over sets by their length."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chita.dataplane.nftables.network_parts import MANY, SHARE, NetworkParts, Part
from chita.model.net import Cidr

LONG = [Cidr(4, 0x0A000000 + i * 512, 24) for i in range(MANY + 2)]
SHORT = [Cidr(4, 0x14000000 + i * 131072, 16) for i in range(MANY + 2)]
OTHERS = [Cidr(6, (0x20010DB8 << 96) + (i << 65), 64) for i in range(MANY + 2)]


def slices(networks: list[Cidr]) -> st.SearchStrategy[frozenset[Cidr]]:
    """Return so many of *networks* that the limit is near, or few."""
    counts = st.sampled_from([0, 1, MANY - 1, MANY, MANY + 2])
    return counts.map(lambda count: frozenset(networks[:count]))


MEMBERS = st.tuples(*map(slices, (LONG, SHORT, OTHERS))).map(lambda all_: frozenset().union(*all_))


@given(st.lists(MEMBERS, min_size=1, max_size=6))
def test_whatever_came_before_the_parts_are_those_of_now(turns: list[frozenset[Cidr]]) -> None:
    """A part of a length holds all of it, at least MANY; the rest has none that are as many."""
    parts = NetworkParts()
    held: dict[Part, frozenset[Cidr]] = {}
    before: frozenset[Cidr] = frozenset()
    for now in turns:
        for part, change in parts.change(now, now - before, before - now).items():
            there = held.get(part, frozenset())
            assert change.gone <= there
            assert not change.come & there
            held[part] = (there - change.gone) | change.come
        before = now

    counts = {
        length: sum(net.prefix == length.prefix and net.family == length.family for net in before)
        for length in (Part(4, 24), Part(4, 16), Part(6, 64))
    }
    expected: dict[Part, frozenset[Cidr]] = {}
    for net in before:
        length = Part(net.family, net.prefix)
        part = length if counts[length] >= MANY else Part(net.family, 0)
        expected[part] = expected.get(part, frozenset()) | {net}
    assert expected == {part: nets for part, nets in held.items() if nets}
    assert sorted(expected) == sorted([*parts.parts(4), *parts.parts(6)])


def test_of_too_many_lengths_none_has_a_set_of_its_own() -> None:
    """Asking for each of them would cost a packet more than asking among intervals."""
    parts = NetworkParts()
    networks = frozenset(
        Cidr(4, (length << 24) + (i << 13), 20 + length)
        for length in range(SHARE + 1)
        for i in range(MANY)
    )
    parts.change(networks, networks, frozenset())

    assert [Part(4, 0)] == parts.parts(4)


def test_the_rest_is_asked_last() -> None:
    """An address is looked up among intervals only if no hash set has it."""
    parts = NetworkParts()
    networks = frozenset((*LONG, SHORT[0], *OTHERS))
    parts.change(networks, networks, frozenset())

    assert [Part(4, 24), Part(4, 0)] == parts.parts(4)
    assert [Part(6, 64)] == parts.parts(6)
