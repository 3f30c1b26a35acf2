"""Knocks: which peers that never answered are dialled anew, and when.

WireGuard repeats a handshake no sooner than after five seconds (REKEY_TIMEOUT, WireGuard's
messages.h). Two nodes learn of each other at moments that differ: the first handshake reaches a
device that does not know its sender yet, and is dropped in silence. A peer without a session has
nothing to lose: removed and added again, it sends its next handshake at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

import msgspec

WAITS_S = (0.6, 1.0, 1.0, 2.0, 2.0)
"""Before each knock; after the last WireGuard goes on alone. The first is longer than a round trip,
which a handshake that is on its way takes."""

MOST = 128
"""Peers that are watched at a time: where more are new at once, as at the start of a node of a
large fabric, the others are left to WireGuard. Each look reads the whole device."""
AT_ONCE = 16
"""Peers that are dialled anew at a time; each takes a millisecond, in which no change is made."""


class _Dialled(msgspec.Struct):
    """A peer that may have to be dialled anew."""

    due_s: float
    knocks: int = 0


class Knocks:
    """The peers of one device that were dialled a while ago at most, by public key.

    Times are of a clock that never steps.
    """

    def __init__(self) -> None:
        self._dialled: dict[str, _Dialled] = {}

    def dial(self, key: str, now_s: float) -> None:
        """Take it that a peer has been given an endpoint, or another one."""
        if key in self._dialled or len(self._dialled) < MOST:
            self._dialled[key] = _Dialled(due_s=now_s + WAITS_S[0])

    def forget(self, keys: Iterable[str]) -> None:
        """Take it that these peers are gone."""
        for key in keys:
            self._dialled.pop(key, None)

    def is_due(self, now_s: float) -> bool:
        """Whether it is time to look who has answered."""
        return any(it.due_s <= now_s for it in self._dialled.values())

    def due(self, handshakes: Mapping[str, int], now_s: float) -> list[str]:
        """Return the peers to dial anew now, counted as dialled.

        Args:
            handshakes: when each peer's last was, 0 for never, by public key.
            now_s: now.
        """
        self.forget([key for key in self._dialled if handshakes.get(key, 1)])
        overdue = (key for key, it in self._dialled.items() if it.due_s <= now_s)
        found = list(itertools.islice(overdue, AT_ONCE))
        for key in found:
            dialled = self._dialled[key]
            dialled.knocks += 1
            if dialled.knocks == len(WAITS_S):
                del self._dialled[key]
            else:
                dialled.due_s = now_s + WAITS_S[dialled.knocks]
        return found
