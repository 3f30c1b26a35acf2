"""Knocks: who never answered is dialled anew a few times; who answered is left alone."""

from __future__ import annotations

import pytest

from chita.dataplane.tunnels.knocks import AT_ONCE, MOST, WAITS_S, Knocks

NEVER, ONCE = 0, 1_700_000_000
TICK_S = 0.1


def knocked_at(knocks: Knocks, handshakes: dict[str, int], until_s: float) -> list[float]:
    """Return when *knocks* would have peer ``a`` dialled, looked at every tick from 0 on."""
    times = [tick * TICK_S for tick in range(int(until_s / TICK_S))]
    return [at for at in times if knocks.is_due(at) and "a" in knocks.due(handshakes, at)]


def test_each_wait_is_kept_and_the_last_is_the_last() -> None:
    knocks = Knocks()
    knocks.dial("a", 0.0)

    found = knocked_at(knocks, {"a": NEVER}, until_s=60)

    expected = [sum(WAITS_S[: index + 1]) for index in range(len(WAITS_S))]
    assert pytest.approx(expected, abs=TICK_S * len(WAITS_S)) == found


@pytest.mark.parametrize(
    "handshakes",
    [pytest.param({"a": ONCE}, id="answered"), pytest.param({}, id="gone-from-the-device")],
)
def test_left_alone(handshakes: dict[str, int]) -> None:
    knocks = Knocks()
    knocks.dial("a", 0.0)

    assert [] == knocked_at(knocks, handshakes, until_s=60)
    assert not knocks.is_due(1e9)


def test_another_endpoint_begins_anew() -> None:
    knocks = Knocks()
    knocks.dial("a", 0.0)
    knocked_at(knocks, {"a": NEVER}, until_s=60)

    knocks.dial("a", 100.0)

    assert not knocks.is_due(100.0)
    assert ["a"] == knocks.due({"a": NEVER}, 100.0 + WAITS_S[0])


def test_forgotten() -> None:
    knocks = Knocks()
    knocks.dial("a", 0.0)
    knocks.dial("b", 0.0)
    knocks.forget(["a"])

    assert ["b"] == knocks.due({"a": NEVER, "b": NEVER}, 1.0)


def test_many_new_peers_hold_nothing_up() -> None:
    knocks = Knocks()
    keys = [f"peer-{number}" for number in range(2 * MOST)]
    for key in keys:
        knocks.dial(key, 0.0)

    found = [knocks.due(dict.fromkeys(keys, NEVER), 1.0) for _ in range(2 * MOST // AT_ONCE)]

    assert {AT_ONCE, 0} == {len(it) for it in found}
    assert keys[:MOST] == [key for part in found for key in part]
