"""Two busy ordinary nodes get a tunnel of their own, and lose it without losing a packet."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chita.fabric.health import ShortcutState
from chita.fabric.questions import Stance
from chita.fabric.shortcuts import (
    ANSWER_S,
    BUSY_BYTES_S,
    BUSY_S,
    CALM_SHARE,
    GRACE_S,
    IDLE_S,
    LEASE_S,
    MARGIN,
    MOST,
    PROOF_S,
    RETRY_S,
    SETTLED_S,
    Pairs,
)

BUSY, IDLE = 2 * BUSY_BYTES_S, 0.0


def may(_: str) -> str:
    return ""


class End:
    """One end, its clock, and what the kernel does: it sends by a tunnel that both have."""

    def __init__(self) -> None:
        self.pairs = Pairs()
        self.in_use: set[str] = set()
        self.silent: set[str] = set()
        self.answers = False
        """Whether all others answer by each tunnel that stands."""

    def state(self, other: str) -> ShortcutState | None:
        found = self.pairs.shortcuts.get(other)
        return None if found is None or found.state is ShortcutState.REFUSED else found.state

    def decide(self, now_s: float) -> None:
        if self.answers:
            self.in_use = {it for it in self.pairs.partners if self.state(it)}
        self.pairs.decide(now_s, refusal=may, in_use=self.in_use, silent=self.silent)
        self.in_use = {it for it in self.in_use if self.state(it) is ShortcutState.OPEN}

    def run(self, begin_s: float, end_s: float, rates: dict[str, float]) -> float:
        """Send so much for so long, told nothing; return when that was."""
        now_s = begin_s
        while now_s <= end_s:
            self.pairs.measure(rates, now_s)
            self.decide(now_s)
            now_s += 1
        return now_s


class Two:
    """Two ends, a second at a time."""

    def __init__(self) -> None:
        self.ends = {"a": End(), "b": End()}
        self.now_s = 0.0
        self.openings = 0

    def second(self, sent: dict[str, float], *, lost: bool = False) -> None:
        self.now_s += 1
        before = self.state("a")
        for name, end in self.ends.items():
            other = "b" if name == "a" else "a"
            end.pairs.measure({other: sent.get(name, 0.0)}, self.now_s)
            end.decide(self.now_s)
            if not lost:
                told = end.pairs.stance(other, end.in_use), end.pairs.sent(other)
                self.ends[other].pairs.hear(name, *told, self.now_s)
        for name, end in self.ends.items():
            other = "b" if name == "a" else "a"
            if end.state(other) is ShortcutState.OPEN and self.ends[other].state(name):
                end.in_use = {other}  # a probe came back
        self.openings += before is not ShortcutState.OPEN and self.is_open()

    def state(self, name: str) -> ShortcutState | None:
        return self.ends[name].state("b" if name == "a" else "a")

    def is_open(self) -> bool:
        return self.state("a") is ShortcutState.OPEN

    def run(self, seconds: float, sent: dict[str, float], *, lost: bool = False) -> None:
        for _ in range(int(seconds)):
            self.second(sent, lost=lost)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param({"a": BUSY}, ShortcutState.OPEN, id="one-way"),
        pytest.param({"a": 0.6 * BUSY, "b": 0.6 * BUSY}, ShortcutState.OPEN, id="both-ways"),
        pytest.param({"a": 0.9 * BUSY_BYTES_S}, None, id="below-the-mark"),
        pytest.param({}, None, id="idle"),
    ],
)
def test_a_busy_pair_opens_at_both_ends(
    sent: dict[str, float], expected: ShortcutState | None
) -> None:
    two = Two()
    two.run(BUSY_S + 4, sent)

    assert expected == two.state("a") == two.state("b")


def test_it_ends_after_minutes_without_traffic_and_not_before() -> None:
    two = Two()
    two.run(10, {"a": BUSY})
    two.run(IDLE_S - 5, {})
    before = two.is_open()
    two.run(15, {})

    assert before
    assert two.state("a") is None
    assert two.state("b") is None


def test_a_burst_is_not_worth_it() -> None:
    two = Two()
    two.run(BUSY_S, {"a": 100 * BUSY})
    two.run(20, {})

    assert two.openings == 0


def test_who_is_not_answered_says_so_and_asks_again_later() -> None:
    """Nothing is configured meanwhile."""
    end = End()
    now_s = end.run(0, BUSY_S + ANSWER_S + 2, {"b": BUSY})
    found = end.pairs.shortcuts["b"]
    stance = end.pairs.stance("b", ())
    end.run(now_s, now_s + RETRY_S, {"b": BUSY})

    assert (ShortcutState.REFUSED, "b does not answer") == (found.state, found.reason)
    assert stance is Stance.NONE
    assert end.pairs.stance("b", ()) is Stance.HOLD


def test_one_that_nothing_comes_over_is_given_up() -> None:
    end = End()
    now_s = 0.0
    while now_s < BUSY_S + PROOF_S + 5:
        end.pairs.hear("b", Stance.HOLD, BUSY, now_s)
        now_s = end.run(now_s, now_s, {"b": BUSY})

    assert end.state("b") is ShortcutState.CLOSING
    assert "no answer came over a tunnel with b" in end.pairs.shortcuts["b"].reason


@pytest.mark.parametrize(
    ("silent", "expected"),
    [
        pytest.param(False, ShortcutState.CLOSING, id="it-may-send-by-it"),
        pytest.param(True, None, id="it-is-gone"),
    ],
)
def test_an_end_without_an_agent_keeps_its_peer(
    silent: bool,  # noqa: FBT001 - a table
    expected: ShortcutState | None,
) -> None:
    """Its kernel goes on sending by the tunnel, which therefore stays while it answers probes."""
    two = Two()
    two.run(10, {"a": BUSY})
    end = two.ends["a"]
    if silent:
        end.silent = {"b"}
    end.run(two.now_s + 1, two.now_s + LEASE_S + GRACE_S + 5, {})

    assert expected == end.state("b")


def test_what_an_earlier_agent_left_is_closed_once_the_other_end_does_not_use_it() -> None:
    two = Two()
    two.run(10, {"a": BUSY})
    two.ends["a"].pairs = Pairs(["b"], two.now_s)
    two.ends["a"].in_use = set()
    two.second({"a": BUSY})
    first = two.state("a")
    later = []
    for _ in range(10):
        two.second({"a": BUSY})
        later.append((two.state("a"), two.state("b")))

    assert first is ShortcutState.CLOSING
    assert (None, None) in later
    assert later[-1] == (ShortcutState.OPEN, ShortcutState.OPEN)


def test_the_least_busy_leave_for_one_that_is_much_busier() -> None:
    """Once they have settled; then the least busy of all, and it alone."""
    end = End()
    end.answers = True
    rates = {f"n{number:02}": BUSY * (1 + number / 100) for number in range(MOST)}
    now_s = 0.0
    while now_s < SETTLED_S + 10:
        for name in rates:
            end.pairs.hear(name, Stance.HOLD, 0.0, now_s)
        now_s = end.run(now_s, now_s, rates)
    rates |= {"equal": BUSY, "more": MARGIN * 2 * BUSY}
    for _ in range(10):
        for name in rates.keys() - {"equal", "more"}:
            end.pairs.hear(name, Stance.HOLD, 0.0, now_s)
        now_s = end.run(now_s, now_s, rates)
    left = {name for name in rates if end.pairs.stance(name, ()) is not Stance.HOLD}

    assert left - {"more", "equal"} == {"n00"}
    assert "64 others are busier" in end.pairs.shortcuts["equal"].reason


RATES = st.sampled_from([0.0, 0.3, 0.6, 0.9, 1.1, 2.0]).map(lambda share: share * BUSY_BYTES_S)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 60), RATES, RATES, st.booleans()), min_size=1, max_size=12)
)
def test_nobody_sends_by_a_tunnel_that_the_other_end_has_not(
    phases: list[tuple[int, float, float, bool]],
) -> None:
    """Whatever is sent and whichever words are lost; at rest both ends hold the same."""
    two = Two()
    for seconds, of_a, of_b, lost in phases:
        for _ in range(seconds):
            two.second({"a": of_a, "b": of_b}, lost=lost)
            for name, other in (("a", "b"), ("b", "a")):
                if two.ends[name].in_use:
                    assert two.state(other) is not None
    two.run(LEASE_S + ANSWER_S + RETRY_S + 60, {"a": BUSY})
    assert two.state("a") is two.state("b")


@given(st.lists(st.floats(0.6, 1.4), min_size=100, max_size=400))
@settings(max_examples=30)
def test_a_load_about_the_mark_does_not_flap(shares: list[float]) -> None:
    assert CALM_SHARE < 0.6
    two = Two()
    for share in shares:
        two.second({"a": share * BUSY_BYTES_S})

    assert two.openings <= 1


@settings(max_examples=30)
@given(
    st.lists(
        st.dictionaries(st.integers(0, 2 * MOST), st.floats(0, 10), max_size=2 * MOST),
        min_size=1,
        max_size=15,
    )
)
def test_there_are_never_more_than_so_many(steps: list[dict[int, float]]) -> None:
    end, now_s = End(), 0.0
    for step in steps:
        rates = {f"n{number}": share * BUSY_BYTES_S for number, share in step.items()}
        for name in rates:
            end.pairs.hear(name, Stance.HOLD, BUSY, now_s)
        now_s = end.run(now_s, now_s + BUSY_S, rates)
        standing = [
            it for it in end.pairs.shortcuts.values() if it.state is not ShortcutState.REFUSED
        ]

        assert len(end.pairs.partners) <= MOST
        assert len(standing) <= MOST
