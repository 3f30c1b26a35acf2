"""The timeline notes changes, and nothing else."""

from __future__ import annotations

from chita.desired.paths import Path, PathKind
from chita.fabric.health import UNPROBED, Direct, Health, Verdict, WayHealth
from chita.fabric.timeline import Timeline

DIRECT = Path(node="n1", kind=PathKind.WIREGUARD, reason="dialled", mtu_bytes=1440)
RELAYED = Path(node="n1", kind=PathKind.RELAYED, reason="3 lost", relays=("g2", "g1"))
BACKWARDS = Path(node="n1", kind=PathKind.RELAYED, reason="3 lost", relays=("g1", "g2"))
NARROW = Path(node="n1", kind=PathKind.WIREGUARD, reason="narrow", mtu_bytes=1328)


def test_a_switch_is_noted_with_its_reason() -> None:
    timeline = Timeline()
    assert [] == timeline.switch({}, {"n1": DIRECT}, 1.0)
    assert [] == timeline.switch({"n1": DIRECT}, {"n1": NARROW}, 2.0)
    (switch,) = timeline.switch({"n1": NARROW}, {"n1": RELAYED}, 3.0)
    assert [] == timeline.switch({"n1": RELAYED}, {"n1": BACKWARDS}, 4.0)

    assert ("wireguard", "relayed by g1, g2", "3 lost") == (
        switch.before,
        switch.after,
        switch.reason,
    )
    assert {"n1": switch} == timeline.last
    assert timeline.switch_count == 1


def test_nodes_that_left_are_forgotten() -> None:
    timeline = Timeline()
    timeline.switch({"n1": DIRECT}, {"n1": RELAYED}, 1.0)
    timeline.switch({"n1": RELAYED}, {}, 2.0)

    assert {} == timeline.last
    assert len(timeline.switches) == 1


def test_turns() -> None:
    way = Direct("n1")
    up = Health({way: WayHealth(verdict=Verdict.UP, reason="it answers")})
    narrow = Health({way: WayHealth(verdict=Verdict.UP, reason="it answers", mtu_bytes=1328)})
    down = Health({way: WayHealth(verdict=Verdict.DOWN, reason="lost")})
    timeline = Timeline()

    assert [Verdict.UP] == [it.verdict for it in timeline.turn(UNPROBED, up, 1.0)]
    assert [] == timeline.turn(up, narrow, 2.0)
    assert ["lost"] == [it.reason for it in timeline.turn(narrow, down, 3.0)]


def test_what_is_kept_is_bounded() -> None:
    timeline = Timeline()
    for second in range(3000):
        before, after = (DIRECT, RELAYED) if second % 2 else (RELAYED, DIRECT)
        timeline.switch({"n1": before}, {"n1": after}, float(second))

    assert len(timeline.switches) == 1000
    assert timeline.switch_count == 3000
