"""What changed and when: verdicts on ways, and paths that were left for others.

The last thousand of each, so that a failover can be told afterwards: when the way fell silent, when
that was sure, when packets took another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import msgspec

from chita.desired.paths import Path
from chita.fabric.health import Health, Verdict, Way

_KEPT = 1000


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict on a way became another."""

    at_s: float
    """Seconds since the epoch."""
    way: Way
    verdict: Verdict
    reason: str


class Switch(msgspec.Struct, frozen=True, kw_only=True):
    """Packets to a node take another way."""

    at_s: float
    """Seconds since the epoch."""
    node: str
    before: str
    after: str
    reason: str
    """Why this one now."""


class Timeline:
    """Turns and switches of one node, in order."""

    def __init__(self) -> None:
        self.turns: deque[Turn] = deque(maxlen=_KEPT)
        self.switches: deque[Switch] = deque(maxlen=_KEPT)
        self.switch_count = 0
        self.last: dict[str, Switch] = {}
        """The last switch of each node that there is."""

    def turn(self, before: Health, after: Health, wall_s: float) -> list[Turn]:
        """Note what turned between two states of health; return it."""
        turns = [
            Turn(at_s=wall_s, way=way, verdict=known.verdict, reason=known.reason)
            for way, known in after.ways.items()
            if known is not (last := before.of(way)) and known.verdict is not last.verdict
        ]
        self.turns.extend(turns)
        return turns

    def switch(
        self, before: Mapping[str, Path], after: Mapping[str, Path], wall_s: float
    ) -> list[Switch]:
        """Note which paths became others; return them. That a node is new is no switch."""
        switches = [
            Switch(
                at_s=wall_s, node=node, before=words(last), after=words(path), reason=path.reason
            )
            for node, path in after.items()
            if (last := before.get(node)) is not None
            and last is not path
            and words(last) != words(path)
        ]
        self.switches.extend(switches)
        self.switch_count += len(switches)
        self.last = {node: it for node, it in self.last.items() if node in after}
        self.last |= {it.node: it for it in switches}
        return switches


def words(path: Path) -> str:
    """Return which way *path* is: its kind, and the relays that share it."""
    return f"{path.kind} by {', '.join(sorted(path.relays))}" if path.relays else str(path.kind)
