"""What is concluded from the numbers and times of datagrams that came."""

from __future__ import annotations

import pytest

from chita.lab.streams import Arrival, stream_result

MS = 1_000_000
STEADY = [number * 10 * MS for number in range(100)]
"""Sent every ten milliseconds."""


def came(*numbers: int, late_ms: int = 1) -> list[Arrival]:
    """Return the arrivals of *numbers*, each a moment after it was sent."""
    return [Arrival(number, STEADY[number] + late_ms * MS) for number in numbers]


def test_nothing_lost() -> None:
    result = stream_result("s", STEADY, came(*range(100)))

    assert (100, 100, 0, 0, ()) == (
        result.sent,
        result.received,
        result.reordered,
        result.duplicates,
        result.gaps,
    )


def test_a_gap_is_from_the_last_before_to_the_first_after() -> None:
    result = stream_result("s", STEADY, came(*range(40), *range(60, 100)))

    assert 20 == result.lost
    assert pytest.approx(0.21) == result.longest_gap_s
    assert 20 == result.gaps[0].lost


def test_silence_until_the_end_is_a_gap() -> None:
    result = stream_result("s", STEADY, came(*range(50)))

    assert 50 == result.lost
    assert pytest.approx(0.499) == result.longest_gap_s


def test_silence_from_the_beginning_is_a_gap() -> None:
    result = stream_result("s", STEADY, came(*range(30, 100)))

    assert 30 == result.lost == result.gaps[0].lost
    assert pytest.approx(0.301) == result.longest_gap_s


def test_where_nothing_came_all_is_one_gap() -> None:
    result = stream_result("s", STEADY, [])

    assert 100 == result.lost == result.gaps[0].lost
    assert pytest.approx(0.99) == result.longest_gap_s


def test_late_but_whole_is_a_gap_without_loss() -> None:
    """Held back on the way for 300 ms, then all at once."""
    held = [Arrival(number, STEADY[60] + number) for number in range(30, 60)]
    result = stream_result("s", STEADY, [*came(*range(30)), *held, *came(*range(60, 100))])

    assert 0 == result.lost
    assert pytest.approx(0.309, abs=0.001) == result.longest_gap_s


def test_a_pause_of_the_sender_is_not_the_networks() -> None:
    """It slept for a second between two datagrams and nothing was lost."""
    sent = [at + (1000 * MS if number >= 50 else 0) for number, at in enumerate(STEADY)]
    result = stream_result("s", sent, [Arrival(n, at + MS) for n, at in enumerate(sent)])

    assert 0 == result.lost
    assert result.longest_gap_s <= 0.05


def test_order_and_copies() -> None:
    """A late datagram is no loss; a copy is none of the received."""
    result = stream_result("s", STEADY, came(*range(10), 11, 10, 10, *range(12, 100)))

    assert (0, 1, 1) == (result.lost, result.reordered, result.duplicates)
