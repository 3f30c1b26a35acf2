"""The search of the largest packet, against a way that carries up to some size."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chita.fabric.sizes import SizeSearch, bare_sizes, transit_sizes, vxlan_sizes, wireguard_sizes
from chita.fabric.timing import Timing

TIMING = Timing()
PATIENCE_S = 0.2


class Way:
    """A way that carries packets of up to *limit* bytes, and a search on it."""

    def __init__(self, promised: int, limit: int, sizes: tuple[int, ...]) -> None:
        self.limit = limit
        self.search = SizeSearch(promised, sizes, 0.0, TIMING)
        self.now_s = 0.0
        self.changes: list[int | None] = []
        self.sent = 0

    def run(self, for_s: float, *, small_pass: bool = True) -> None:
        """Let *for_s* seconds pass in steps of 50 ms; a lost packet is known after 200."""
        waiting: list[tuple[float, int]] = []
        for _ in range(math.ceil(for_s / 0.05)):
            self.now_s += 0.05
            for due_s, size in [it for it in waiting if it[0] <= self.now_s]:
                waiting.remove((due_s, size))
                if self.search.lose(size, self.now_s, small_pass=small_pass):
                    self.changes.append(self.search.mtu_bytes)
            if self.search.due_s > self.now_s:
                continue
            for size in self.search.due(self.now_s, every_s=1.0):
                self.sent += 1
                if size > self.limit or not small_pass:
                    waiting.append((self.now_s + PATIENCE_S, size))
                elif self.search.answer(size, self.now_s):
                    self.changes.append(self.search.mtu_bytes)


def test_what_is_promised_is_confirmed() -> None:
    way = Way(1440, 1440, wireguard_sizes())
    way.run(5)

    assert [1440] == way.changes
    assert way.search.blackholes == 0
    assert way.sent <= 7


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        pytest.param(1328, 1328, id="azure"),
        pytest.param(1391, 1376, id="between-two-candidates"),
        pytest.param(1200, 1200, id="the-least"),
    ],
)
def test_a_way_that_becomes_narrower(limit: int, expected: int) -> None:
    """One loss, then one burst: known within two seconds."""
    way = Way(1440, 1440, wireguard_sizes())
    way.run(3)
    way.limit = limit
    way.run(2)

    assert [1440, expected] == way.changes
    assert way.search.blackholes == 1


def test_a_silent_way_is_no_narrow_one() -> None:
    """While small packets are lost too, sizes have nothing to do with it."""
    way = Way(1440, 1440, wireguard_sizes())
    way.run(3)
    way.run(10, small_pass=False)

    assert [1440] == way.changes
    assert way.search.blackholes == 0


def test_a_way_that_becomes_wider_again() -> None:
    """Larger packets are tried after half a minute, and believed when they passed twice."""
    way = Way(1440, 1328, wireguard_sizes())
    way.run(3)
    assert 1328 == way.search.mtu_bytes
    way.limit = 1440
    way.run(31)

    assert 1440 == way.search.mtu_bytes
    assert [1328, 1440] == way.changes


def test_larger_ones_are_tried_more_and_more_rarely() -> None:
    way = Way(1440, 1328, wireguard_sizes())
    way.run(100)
    before = way.sent
    way.run(600)

    assert way.sent - before < 600 + 8 * 3 * 10


def test_our_own_finding_is_no_news() -> None:
    """Paths take it over, and it comes back as what the records promise."""
    way = Way(1440, 1328, wireguard_sizes())
    way.run(3)
    way.search.promise(1328, way.now_s)
    way.limit = 1440
    way.run(35)

    assert 1440 == way.search.mtu_bytes


def test_another_rung_starts_anew() -> None:
    way = Way(8432, 8432, wireguard_sizes())
    way.run(2)
    way.search.promise(1440, way.now_s)
    way.limit = 1440
    way.run(2)

    assert [8432, 1440] == way.changes
    assert way.search.blackholes == 0


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(st.integers(1200, 9001), st.lists(st.integers(1200, 9001), max_size=4))
def test_the_search_ends_at_a_size_that_passes(promised: int, limits: list[int]) -> None:
    """After any changes, what is relied on passes, and no candidate in between does."""
    sizes = (*bare_sizes(), 1200)
    way = Way(promised, promised, tuple(sorted(sizes)))
    way.run(2)
    for limit in limits:
        way.limit = limit
        way.run(4)
    found = way.search.mtu_bytes
    assert found is not None
    assert found <= min(promised, way.limit)


def test_sizes_of_tunnels() -> None:
    """Multiples of 16 inside WireGuard; 36 less through a relay; all of the reference's list."""
    assert {1200, 1280, 1328, 1376, 1392, 1408, 1440, 8416, 8832} <= set(wireguard_sizes())
    assert all(size % 16 == 0 for size in wireguard_sizes())
    assert 1292 in transit_sizes(wireguard_sizes())
    assert 8951 in vxlan_sizes()
