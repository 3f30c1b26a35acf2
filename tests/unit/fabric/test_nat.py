"""What two witnesses' answers say of the NAT between."""

from __future__ import annotations

import pytest

from chita.desired.tunnels import Endpoint
from chita.fabric.nat import UNJUDGED, Judgement, judged, settled, stated
from chita.model.net import Address
from chita.model.node import Nat

OWN = Address.parse("10.0.0.11")
PUBLIC = Address.parse("203.0.113.7")
ONE = Endpoint(PUBLIC, 61000)
OTHER = Endpoint(PUBLIC, 61001)
BARE = Endpoint(OWN, 51820)

STABLE = Judgement(Nat.ENDPOINT_INDEPENDENT, ONE)
MOVED = Judgement(Nat.ENDPOINT_INDEPENDENT, OTHER)
RANDOM = Judgement(Nat.ENDPOINT_DEPENDENT)


@pytest.mark.parametrize(
    ("sightings", "expected"),
    [
        pytest.param([], UNJUDGED, id="nobody-answers"),
        pytest.param([ONE], UNJUDGED, id="one-witness-is-none"),
        pytest.param([ONE, ONE], STABLE, id="they-agree"),
        pytest.param([ONE, OTHER], RANDOM, id="another-port-each"),
        pytest.param([BARE, BARE], Judgement(Nat.NONE, BARE), id="no-nat"),
        pytest.param(
            [Endpoint(OWN, 4500)] * 2,
            Judgement(Nat.ENDPOINT_INDEPENDENT, Endpoint(OWN, 4500)),
            id="own-address-other-port",
        ),
    ],
)
def test_judged(sightings: list[Endpoint], expected: Judgement) -> None:
    assert expected == judged(sightings, own=[OWN], listen_port=51820)


@pytest.mark.parametrize(
    ("public", "own", "expected"),
    [
        pytest.param([], [OWN], Nat.UNKNOWN, id="nothing-stated"),
        pytest.param([PUBLIC], [OWN], Nat.ONE_TO_ONE, id="floating-address"),
        pytest.param([PUBLIC], [OWN, PUBLIC], Nat.NONE, id="on-the-interface"),
    ],
)
def test_stated(public: list[Address], own: list[Address], expected: Nat) -> None:
    assert expected == stated(public, own)


@pytest.mark.parametrize(
    ("current", "last", "now", "expected"),
    [
        pytest.param(UNJUDGED, UNJUDGED, STABLE, STABLE, id="first-answer"),
        pytest.param(UNJUDGED, UNJUDGED, RANDOM, RANDOM, id="first-answer-differs"),
        pytest.param(STABLE, STABLE, UNJUDGED, STABLE, id="silence"),
        pytest.param(STABLE, STABLE, MOVED, MOVED, id="restarted-nat"),
        pytest.param(STABLE, STABLE, RANDOM, STABLE, id="differs-once"),
        pytest.param(STABLE, RANDOM, RANDOM, RANDOM, id="differs-twice"),
        pytest.param(RANDOM, RANDOM, STABLE, STABLE, id="became-stable"),
    ],
)
def test_settled(current: Judgement, last: Judgement, now: Judgement, expected: Judgement) -> None:
    """Agreement is believed at once, difference the second time, silence never."""
    assert expected == settled(current, last, now)
