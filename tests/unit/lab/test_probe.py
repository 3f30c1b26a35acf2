"""What comes of flows and echoes, without a wire."""

from __future__ import annotations

import pytest

from chita.lab.ping import PingResult
from chita.lab.probe import (
    Allowed,
    Expectation,
    Outcome,
    Refused,
    TimedOut,
    Unreachable,
    is_expected,
)

OUTCOMES: tuple[Outcome, ...] = (Allowed("web", 1), Refused(), TimedOut(), Unreachable("no way"))


@pytest.mark.parametrize(
    ("expected", "fits"),
    [
        pytest.param(Expectation.ANSWER, [True, False, False, False], id="answer"),
        pytest.param(Expectation.REFUSAL, [False, True, False, False], id="refusal"),
        pytest.param(Expectation.SILENCE, [False, False, True, True], id="silence"),
        pytest.param(Expectation.UNKNOWN, [True, True, True, True], id="unknown"),
    ],
)
def test_is_expected(expected: Expectation, fits: list[bool]) -> None:
    """A refusal comes from the destination itself: the packet was not dropped on the way."""
    assert fits == [is_expected(expected, outcome) for outcome in OUTCOMES]


def test_median() -> None:
    assert PingResult(sent=3, rtts_ms=(3.0, 1.0, 2.0)).median_ms == 2.0
    assert PingResult(sent=3).median_ms is None
