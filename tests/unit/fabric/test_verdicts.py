"""Verdicts of one way: fast to leave, slow to come back, and never without a last resort."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chita.fabric.health import Verdict
from chita.fabric.timing import Timing
from chita.fabric.verdicts import Trial
from chita.model.net import Address

TIMING = Timing()
N1, N2 = Address.parse("100.64.0.1"), Address.parse("100.64.0.2")


def trial(*events: str, has_other: bool = True, step_s: float = 1.0) -> Trial:
    """Return a trial after *events*, one each *step_s*: ``+`` an answer, ``-`` a loss."""
    made = Trial(0.0, TIMING)
    feed(made, events, has_other=has_other, step_s=step_s)
    return made


def feed(
    made: Trial, events: tuple[str, ...], *, has_other: bool, step_s: float, start_s: float = 0.0
) -> float:
    now_s = start_s
    for event in "".join(events):
        now_s += step_s
        if event == "+":
            made.answer(now_s, 0.01, has_other=has_other)
        else:
            made.lose(now_s, now_s - 0.2, target=N1, targets_needed=1)
    return now_s


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param("", Verdict.UNKNOWN, id="never-probed"),
        pytest.param("+", Verdict.UP, id="one-answer-is-enough-at-first"),
        pytest.param("--", Verdict.UNKNOWN, id="two-losses-say-nothing"),
        pytest.param("---", Verdict.DOWN, id="never-answered"),
        pytest.param("+---", Verdict.DOWN, id="three-losses"),
        pytest.param("+--+--+", Verdict.UP, id="not-in-a-row"),
        pytest.param("---+", Verdict.UP, id="down-before-it-was-ever-up"),
        pytest.param("+---++++++++++", Verdict.DOWN, id="nine-seconds-clean"),
        pytest.param("+---+++++++++++", Verdict.UP, id="ten-seconds-clean"),
        pytest.param("+---+++++-+++++++++", Verdict.DOWN, id="a-loss-starts-the-time-again"),
    ],
)
def test_verdict(events: str, expected: Verdict) -> None:
    """Three losses in a row exclude; ten seconds without one admit again."""
    assert expected is trial(events).verdict


def test_what_is_left_is_used_at_once() -> None:
    """All bad means use all: nothing is gained by waiting where nothing else works."""
    assert Verdict.UP is trial("+---+", has_other=False).verdict


def test_the_last_one_left_is_admitted_when_the_other_goes() -> None:
    """It answers already, and need not wait for its ten seconds."""
    made = trial("+---+")
    verdicts = [made.verdict, made.admit(6.0), made.verdict]

    assert [Verdict.DOWN, True, Verdict.UP] == verdicts
    assert trial("+---").admit(6.0) is False


def test_losses_of_one_target_do_not_condemn_a_relay() -> None:
    """Two of its targets must be silent, or it is the target that died."""
    made = Trial(0.0, TIMING)
    turned = [
        made.lose(float(second), second - 0.2, target=target, targets_needed=2)
        for second, target in enumerate([N1] * 5 + [N2])
    ]

    assert [False] * 5 + [True] == turned
    assert made.verdict is Verdict.DOWN
    assert "to 2 nodes" in made.reason


def test_a_slow_way_gets_patience() -> None:
    """An answer may take what answers usually take (RFC 6298), within limits."""
    made = Trial(0.0, TIMING)
    for _ in range(50):
        made.answer(1.0, 0.6, has_other=False)

    assert 0.6 < made.patience_s < 0.7
    made.answer(1.0, 30.0, has_other=False)
    assert made.patience_s == TIMING.last_patience_s


@given(st.lists(st.booleans(), max_size=80), st.booleans())
def test_up_means_answered_since_the_last_three_losses(answers: list[bool], other: bool) -> None:  # noqa: FBT001 - drawn
    """Whatever came before: three losses in a row are DOWN, and only answers lead to UP."""
    made = Trial(0.0, TIMING)
    for second, answered in enumerate(answers):
        feed(made, ("+" if answered else "-",), has_other=other, step_s=1.0, start_s=second)
        tail = answers[max(0, second - 2) : second + 1]
        if tail == [False] * 3:
            assert made.verdict is Verdict.DOWN
    if True not in answers:
        assert made.verdict is not Verdict.UP
    if False not in answers[-11:] and len(answers) >= 11:
        assert made.verdict is Verdict.UP
