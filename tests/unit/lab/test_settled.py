"""A fabric has settled when nodes use what the records promise."""

from __future__ import annotations

from typing import Any

import pytest

from chita.lab.settled import other_than, promised
from hybrid import fabric_node, hybrid

CLUSTER = hybrid(
    fabric_node("a1", "aws-x", "10.0.0.11", public="192.0.2.11"),
    fabric_node("a2", "aws-x", "10.0.0.12"),
    fabric_node("b1", "gcp-y", "10.0.0.11"),
)
WANTED = promised(CLUSTER, ["a2", "b1"])
USED: dict[str, dict[str, dict[str, Any]]] = {
    here: {
        there: {"node": there, "kind": path.kind, "relays": list(path.relays), "reason": "why"}
        for (sender, there), path in WANTED.items()
        if sender == here
    }
    for here in ("a2", "b1")
}


WAYS = [
    {"way": {"type": "Local", "node": "a1"}, "verdict": "up"},
    {"way": {"type": "Direct", "node": "a1", "epoch": 0}, "verdict": "up"},
    {"way": {"type": "Transit", "relay": "a1", "location": "any"}, "verdict": "up"},
    {"way": {"type": "Transit", "relay": "another", "location": "any"}, "verdict": "up"},
]


def told(here: str, there: str, **changes: Any) -> list[str]:
    status: dict[str, Any] = {
        name: {"paths": {**paths}, "ways": WAYS} for name, paths in USED.items()
    }
    if changes.get("kind") is None and "relays" not in changes:
        del status[here]["paths"][there]
    else:
        status[here]["paths"][there] = {**status[here]["paths"][there], **changes}
    return other_than(WANTED, status.__getitem__)


def test_as_promised() -> None:
    assert {("a2", "a1"), ("a2", "b1"), ("b1", "a1"), ("b1", "a2")} == set(WANTED)
    assert [] == other_than(WANTED, lambda here: {"paths": USED[here], "ways": WAYS})


def test_a_private_way_that_answered_is_better_than_promised() -> None:
    """Between peered locations it needs a proof, so the records alone promise another."""
    ways = [{"way": {"type": "Direct", "node": "b1"}, "verdict": "up"}, *WAYS]
    better = {**USED["a2"]["b1"], "kind": "private-wireguard", "relays": []}

    def status(here: str) -> dict[str, Any]:
        paths = {**USED[here], **({"b1": better} if here == "a2" else {})}
        return {"paths": paths, "ways": ways}

    assert [] == other_than(WANTED, status)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"kind": "none"}, "a2 to b1 is none: why", id="another-kind"),
        pytest.param({"relays": []}, "a2 to b1 is relayed: why", id="a-relay-is-missing"),
        pytest.param({}, "a2 has no path to b1", id="not-known-yet"),
    ],
)
def test_what_is_otherwise_is_told(changes: dict[str, Any], expected: str) -> None:
    assert [expected] == told("a2", "b1", **changes)


def test_more_relays_than_promised_will_do() -> None:
    relays = [*USED["a2"]["b1"]["relays"], "another"]
    assert [] == told("a2", "b1", relays=relays)


def test_what_was_not_answered_yet_is_told() -> None:
    silent = other_than(WANTED, lambda here: {"paths": USED[here], "ways": []})
    assert 4 == len(silent)
    assert all("has not answered yet" in line for line in silent)
