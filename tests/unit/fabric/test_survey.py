"""Survey: a simulated network answers, and the health that follows is what it should be."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chita.fabric.health import Direct, Health, Local, Transit, Verdict, Way, WayHealth
from chita.fabric.schedule import Egress, Target, Use
from chita.fabric.survey import Survey
from chita.fabric.timing import Timing
from chita.fabric.watched import Probe
from chita.model.net import Address

TICK_S = 0.05
TIMING = Timing()
R1, R2 = Transit("r1", "there"), Transit("r2", "there")


def target(way: Way, *, every_s: float = 0.2, ends: int = 1, use: Use = Use.USED) -> Target:
    return Target(
        way=way,
        location="there" if isinstance(way, Transit) else "elsewhere",
        ends=tuple([Address(4, 0x64400000 + index) for index in range(1, ends + 1)]),
        via=Address(4, 0x64400100) if isinstance(way, Transit) else None,
        egress=Egress.WIREGUARD,
        use=use,
        every_s=every_s,
        size_every_s=1.0,
        mtu_bytes=1440 - (36 if isinstance(way, Transit) else 0),
    )


class Network:
    """Answers each probe after *rtt_s* unless *loses* says so; time is ours."""

    def __init__(self, *targets: Target) -> None:
        self.now_s = 1000.0
        self.rtt_s: Callable[[Probe], float] = lambda _: 0.01
        self.clock_step_s = 0.0
        """How far the clock of the time stamps was set while probes were under way."""
        self.loses: Callable[[Probe], bool] = lambda _: False
        self.survey = Survey(TIMING)
        self.survey.follow({it.way: it for it in targets}, self.now_s)
        self._arriving: list[tuple[float, int, float]] = []
        self.changes: list[tuple[float, Health]] = []
        self.sent: list[tuple[float, Probe]] = []

    def run(self, for_s: float) -> None:
        for _ in range(math.ceil(for_s / TICK_S)):
            self.tick()

    def tick(self) -> None:
        self.now_s += TICK_S
        for it in [it for it in self._arriving if it[0] <= self.now_s]:
            self._arriving.remove(it)
            self.survey.answered(it[1], self.now_s, it[2] + self.clock_step_s)
        self.survey.expire(self.now_s)
        for probe in self.survey.due(self.now_s):
            self.sent.append((self.now_s, probe))
            if not self.loses(probe):
                rtt_s = self.rtt_s(probe)
                self._arriving.append((self.now_s + rtt_s, probe.token, rtt_s))
        health = self.survey.health(self.now_s, self.now_s)
        if not self.changes or health is not self.changes[-1][1]:
            self.changes.append((self.now_s, health))

    @property
    def health(self) -> Health:
        return self.changes[-1][1]

    def verdict(self, way: Way) -> Verdict:
        return self.health.of(way).verdict

    def until(self, way: Way, verdict: Verdict, *, within_s: float) -> float:
        """Return how long it took until *way* had *verdict*."""
        began = self.now_s
        while self.verdict(way) is not verdict:
            assert self.now_s - began < within_s
            self.tick()
        return self.now_s - began


def losing(ways: Iterable[Way]) -> Callable[[Probe], bool]:
    lost = set(ways)
    return lambda probe: probe.target.way in lost


@pytest.mark.parametrize(
    ("every_s", "within_s"),
    [pytest.param(0.2, 0.9, id="used"), pytest.param(1.0, 1.9, id="standby")],
)
def test_a_way_that_falls_silent(every_s: float, within_s: float) -> None:
    """At five a second it is known within 0.9 s; at one a second the first loss hurries."""
    way = Direct("n")
    for offset in range(10):
        network = Network(target(way, every_s=every_s))
        network.run(20 + offset * TICK_S)
        network.loses = losing([way])
        network.until(way, Verdict.DOWN, within_s=within_s)


def test_health_changes_with_verdicts_and_sizes_only() -> None:
    """A minute of answers is one change for the verdict, and one for the size."""
    network = Network(target(Direct("n")), target(Local("m")))
    network.run(60)

    assert len(network.changes) <= 5
    assert network.verdict(Direct("n")) is Verdict.UP
    assert network.health.of(Direct("n")).mtu_bytes == 1440
    assert network.health.of(Direct("n")).rtt_s == pytest.approx(0.01)


def test_what_is_down_comes_back_after_ten_clean_seconds() -> None:
    network = Network(target(R1, ends=2), target(R2, ends=2))
    network.run(5)
    network.loses = losing([R1])
    network.until(R1, Verdict.DOWN, within_s=2)
    network.loses = losing([])
    took_s = network.until(R1, Verdict.UP, within_s=12)

    assert took_s >= TIMING.clean_s


def test_all_bad_means_use_all() -> None:
    """The other relay is gone as well: the one that answers is used at once."""
    network = Network(target(R1, ends=2), target(R2, ends=2))
    network.run(5)
    network.loses = losing([R1, R2])
    network.until(R1, Verdict.DOWN, within_s=2)
    network.until(R2, Verdict.DOWN, within_s=2)
    network.loses = losing([R2])

    assert network.until(R1, Verdict.UP, within_s=1) < 1


def test_a_clean_relay_is_admitted_when_the_last_one_goes() -> None:
    network = Network(target(R1, ends=2), target(R2, ends=2))
    network.run(5)
    network.loses = losing([R1])
    network.until(R1, Verdict.DOWN, within_s=2)
    network.loses = losing([])
    network.run(3)
    network.loses = losing([R2])
    network.until(R2, Verdict.DOWN, within_s=2)

    assert network.verdict(R1) is Verdict.UP


def test_a_relay_does_not_wait_for_what_goes_through_itself() -> None:
    """Of a network that was dark the first gateway that answers is used at once."""
    hop, through = Direct("r1"), R1
    network = Network(msgspec.structs.replace(target(hop), location="there"), target(through))
    network.run(2)
    network.loses = lambda _: True
    network.run(5)
    network.loses = lambda probe: isinstance(probe.target.way, Direct)
    network.run(2)  # the relay answers for others before it answers for itself
    network.loses = lambda _: False
    network.run(2)

    assert {Verdict.UP} == {network.health.of(way).verdict for way in (hop, through)}


def test_what_a_relay_carries_goes_with_it() -> None:
    hop = target(Direct("r1"))
    network = Network(hop, target(R1, ends=2, every_s=5.0), target(R2, ends=2))
    network.run(8)
    network.loses = losing([Direct("r1"), R1])
    network.until(Direct("r1"), Verdict.DOWN, within_s=0.95)

    assert network.verdict(R1) is Verdict.DOWN
    assert "r1 itself does not answer" == network.health.of(R1).reason


def test_dead_nodes_do_not_condemn_their_relay() -> None:
    """Six of eight are off: they are asked rarely, and the relay stays in use."""
    relay = target(R1, ends=8, every_s=0.5)
    network = Network(relay, target(R2, ends=8, every_s=0.5))
    network.run(5)
    dead = set(relay.ends[:6])
    network.loses = lambda probe: probe.end in dead
    network.run(30)  # once a relay may be taken for dead, until the dead are known
    before = len(network.changes)
    network.run(120)

    assert len(network.changes) == before
    assert network.verdict(R1) is Verdict.UP


@pytest.mark.parametrize("every_s", [0.2, 0.5, 1.0])
def test_a_narrow_way_is_measured_before_tcp_tries_a_third_time(every_s: float) -> None:
    """That is after 1.4 s. A small packet goes beside each large one, however rare they are."""
    way = Direct("n")
    wanted = msgspec.structs.replace(target(way, every_s=every_s), size_every_s=TIMING.size_used_s)
    for offset in range(20):
        network = Network(wanted)
        network.run(20 + offset * TICK_S)
        network.loses = lambda probe: probe.size_bytes > 1328
        began = network.now_s
        while network.health.of(way).mtu_bytes != 1328:
            network.tick()
            assert network.now_s - began <= 1.2

        assert network.verdict(way) is Verdict.UP
        assert network.survey.ways[way].size.blackholes == 1


def test_a_session_that_moved_to_a_wider_network_is_measured_anew() -> None:
    """As from the internet to a peered network: what came through before says nothing of it."""
    way = Direct("n")
    network = Network(target(way))
    limit = 1440
    network.loses = lambda probe: probe.size_bytes > limit
    network.run(5)
    limit = 8432
    network.survey.follow(
        {way: msgspec.structs.replace(target(way), mtu_bytes=8432)}, network.now_s
    )
    network.run(3)

    assert 8432 == network.health.ways[way].mtu_bytes
    assert 0 == network.survey.ways[way].size.blackholes


@given(st.integers(0, 10_000))
@settings(deadline=None, max_examples=20)
def test_random_losses_change_no_size(seed: int) -> None:
    """One packet in a hundred: two of a size would have to be lost within a second, thrice."""
    way = Direct("n")
    network = Network(msgspec.structs.replace(target(way), size_every_s=TIMING.size_used_s))
    network.run(5)
    lost = random.Random(seed)
    network.loses = lambda _: lost.random() < 0.01
    network.run(60)

    assert 1440 == network.health.of(way).mtu_bytes
    assert network.verdict(way) is Verdict.UP


def test_the_order_of_relays_changes_by_a_margin() -> None:
    """A fifth faster is another order; a tenth is none."""
    fast: dict[Way, float] = {R1: 0.020, R2: 0.030}
    network = Network(target(R1, ends=2), target(R2, ends=2))
    network.rtt_s = lambda probe: fast[probe.target.way]
    network.run(60)
    before = len(network.changes)
    fast[R2] = 0.018
    network.run(120)
    assert len(network.changes) == before
    fast[R2] = 0.010
    network.run(120)

    assert len(network.changes) == before + 1
    assert network.health.of(R2).rtt_s == pytest.approx(0.010)


def test_an_event_loop_that_was_busy_loses_nothing() -> None:
    """Answers that arrived meanwhile are read before anything is given up."""
    network = Network(target(Direct("n")))
    network.run(5)
    network.now_s += 3.0
    network.run(5)

    assert network.verdict(Direct("n")) is Verdict.UP
    assert all(health.of(Direct("n")).verdict is not Verdict.DOWN for _, health in network.changes)


def test_a_clock_that_is_set_makes_no_round_trips() -> None:
    """Time stamps are of the wall clock; what they can't be is not believed."""
    network = Network(target(Direct("n")))
    network.run(5)
    for step_s in (-3600.0, 3600.0):
        network.clock_step_s = step_s
        network.run(1)
        network.clock_step_s = 0.0
        network.run(5)
    recent = network.survey.ways[Direct("n")].samples.recent(network.now_s)

    assert recent.p50_s == pytest.approx(0.01)
    assert recent.p99_s is not None
    assert 0 <= recent.p99_s < 0.1


def test_ways_that_are_no_more_are_forgotten() -> None:
    network = Network(target(Direct("n")), target(Direct("m")))
    network.run(3)
    network.survey.follow({Direct("m"): target(Direct("m"))}, network.now_s)
    network.run(1)

    assert {Direct("m")} == set(network.health.ways)


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(st.integers(1, 400), st.floats(0.0, 1.0))
def test_the_budget_holds_whatever_fails(count: int, loss: float) -> None:
    """Also when everything asks for confirmation at once; bursts of sizes count as one."""
    ways = [
        target(Direct(f"n{index}"), every_s=max(1.0, count / 50), use=Use.STANDBY)
        for index in range(count)
    ]
    ways = [msgspec.structs.replace(it, size_every_s=1e6) for it in ways]
    network = Network(*ways)
    state = 1

    def loses(_: Probe) -> bool:
        nonlocal state
        state = state * 6364136223846793005 % (1 << 64)
        return state / (1 << 64) < loss

    network.loses = loses
    network.run(5)
    small = sum(not probe.size_bytes for _, probe in network.sent)

    assert small <= TIMING.budget * 5 + TIMING.budget * 0.2 + 1


def test_what_an_earlier_run_found_counts_once() -> None:
    """A way that goes and comes back is another: its verdict and its health begin anew."""
    way: Way = Direct("n9", 0)
    known = Health({way: WayHealth(verdict=Verdict.UP, reason="it answers")})
    survey = Survey(remembered=known)
    seen = []
    for targets in ({way: target(way)}, {}, {way: target(way)}):
        survey.follow(targets, 0.0)
        watched = survey.ways.get(way)
        verdict = watched.trial.verdict if watched is not None else None
        seen.append((verdict, survey.health(0.0, 0.0).of(way).verdict))

    assert seen == [
        (Verdict.UP, Verdict.UP),
        (None, Verdict.UNKNOWN),
        (Verdict.UNKNOWN, Verdict.UNKNOWN),
    ]
