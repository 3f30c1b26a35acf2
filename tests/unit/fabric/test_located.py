"""Where tunnels stand, put beside what probes say."""

from __future__ import annotations

import msgspec

from chita.fabric.health import Direct, Health, Local, Verdict, Way, WayHealth
from chita.fabric.located import TURN_S, located
from chita.model.net import Address
from hybrid import KEYS, fabric_node, hybrid

NOW_S = 1_000_000.0
AT = Address.parse("203.0.113.9")
CLUSTER = hybrid(fabric_node("a1", "aws-x", "10.0.0.11"), fabric_node("b1", "gcp-y", "10.1.0.11"))


def test_what_is_up_has_an_address() -> None:
    """What is down, or is no tunnel, or is nobody's, has none."""
    up, down = WayHealth(verdict=Verdict.UP), WayHealth(verdict=Verdict.DOWN, since_s=NOW_S)
    ways: dict[Way, WayHealth] = {
        Direct("a1"): up,
        Direct("b1"): down,
        Direct("gone"): up,
        Direct("a1", 7): up,
        Local("a1"): up,
    }

    found = located(Health(ways), CLUSTER, {KEYS["a1"]: AT, KEYS["b1"]: AT}, NOW_S)

    assert ways | {Direct("a1"): msgspec.structs.replace(up, outer=AT)} == found.ways


def test_no_news_is_the_same_value() -> None:
    """So that nothing is decided again."""
    health = Health({Direct("a1"): WayHealth(verdict=Verdict.UP, outer=AT)})

    assert located(health, CLUSTER, {KEYS["a1"]: AT}, NOW_S) is health
    assert located(health, CLUSTER, {}, NOW_S) is health


def test_what_stays_down_has_its_addresses_dialled_in_turn() -> None:
    """Each for a while, and by the clock, so that both ends have the same in mind."""
    down = WayHealth(verdict=Verdict.DOWN, since_s=NOW_S)
    health = Health({Direct("a1"): down})

    turns = [
        located(health, CLUSTER, {}, NOW_S + after_s).of(Direct("a1")).turn
        for after_s in (0, TURN_S - 1, TURN_S, 2 * TURN_S, 3 * TURN_S)
    ]

    assert [None, None] == turns[:2]
    first = turns[2]
    assert first is not None
    assert [first, first + 1, first + 2] == turns[2:]
