"""Samples: the last minute exactly, the last hour in steps, in bounded memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chita.fabric.samples import STEP_S, STEPS, Recent, Samples


def test_nothing_is_known_at_first() -> None:
    assert Samples().recent(100.0) == Recent()
    assert [] == list(Samples().steps(100.0))


def test_the_last_minute() -> None:
    """Medians and tails are of what was answered; what is older does not count."""
    made = Samples()
    made.add(0.0, 9.0)
    for index in range(100):
        made.add(100.0 + index / 10, None if index % 10 == 0 else index / 1000)
    recent = made.recent(110.0)

    assert (recent.sent, recent.lost) == (100, 10)
    assert recent.p50_s == pytest.approx(0.05, abs=0.002)
    assert recent.p99_s == pytest.approx(0.099, abs=0.002)


def test_steps_have_sums() -> None:
    made = Samples()
    for rtt_s in (0.1, 0.3, None):
        made.add(25.0, rtt_s)
    made.add(31.0, 0.5)
    first, second = made.steps(40.0)

    assert (first.start_s, first.sent, first.lost) == (20.0, 3, 1)
    assert first.mean_s == pytest.approx(0.2)
    assert first.worst_s == pytest.approx(0.3)
    assert (second.start_s, second.sent, second.lost) == (30.0, 1, 0)


@pytest.mark.slow
@given(st.lists(st.integers(0, 3 * STEPS), min_size=1, max_size=200))
def test_an_hour_is_kept_and_no_more(pauses: list[int]) -> None:
    """Whatever the pauses: each step within the hour is told of once, with all its samples."""
    made, now_s = Samples(), 0.0
    counts: dict[int, int] = {}
    for pause in pauses:
        now_s += pause * STEP_S / 7
        made.add(now_s, 0.1)
        counts[int(now_s / STEP_S)] = counts.get(int(now_s / STEP_S), 0) + 1
    current = int(now_s / STEP_S)
    expected = {step: sent for step, sent in sorted(counts.items()) if step > current - STEPS}

    assert expected == {int(it.start_s / STEP_S): it.sent for it in made.steps(now_s)}
