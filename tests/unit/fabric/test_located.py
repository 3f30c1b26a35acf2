"""Where tunnels stand, put beside what probes say."""

from __future__ import annotations

import msgspec

from chita.fabric.health import Direct, Health, Local, Verdict, Way, WayHealth
from chita.fabric.located import located
from chita.model.net import Address
from hybrid import KEYS, fabric_node, hybrid

AT = Address.parse("203.0.113.9")
CLUSTER = hybrid(fabric_node("a1", "aws-x", "10.0.0.11"), fabric_node("b1", "gcp-y", "10.1.0.11"))


def test_what_is_up_has_an_address() -> None:
    """What is down, or is no tunnel, or is nobody's, has none."""
    up, down = WayHealth(verdict=Verdict.UP), WayHealth(verdict=Verdict.DOWN)
    ways: dict[Way, WayHealth] = {
        Direct("a1"): up,
        Direct("b1"): down,
        Direct("gone"): up,
        Direct("a1", 7): up,
        Local("a1"): up,
    }

    found = located(Health(ways), CLUSTER, {KEYS["a1"]: AT, KEYS["b1"]: AT})

    assert ways | {Direct("a1"): msgspec.structs.replace(up, outer=AT)} == found.ways


def test_no_news_is_the_same_value() -> None:
    """So that nothing is decided again."""
    health = Health({Direct("a1"): WayHealth(verdict=Verdict.UP, outer=AT)})

    assert located(health, CLUSTER, {KEYS["a1"]: AT}) is health
    assert located(health, CLUSTER, {}) is health
