"""Notices that this node's clock went backwards, which silently breaks its tunnels.

Each WireGuard handshake carries the time, and a peer refuses one that is not later than the last it
saw of that key (TAI64N, WireGuard whitepaper section 5.1). A clock that was stepped back makes
every new handshake of this node invalid until it has caught up; sessions end after three minutes
and nothing says why.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import msgspec

TOLERATED_S = 5.0
"""What a time daemon may slew or step without harm: handshakes are repeated every five seconds."""

LOOK_S = 1.0
"""How often the clocks are compared, seconds."""
KEEP_EVERY_S = 60.0
"""How often the time is written down, for the next start."""


class ClockReading(msgspec.Struct, frozen=True):
    """Both clocks at one moment, seconds."""

    wall_s: float
    """Since the epoch."""
    running_s: float
    """Since the machine started, sleep included; nobody can step it."""


def read_clock() -> ClockReading:
    """Return the clocks of this machine (CLOCK_REALTIME, CLOCK_BOOTTIME of clock_gettime(2))."""
    return ClockReading(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME))


class ClockWatch:
    """Compares the wall clock with one that cannot be stepped, and with what an earlier run saw."""

    def __init__(self, file: Path, *, read: Callable[[], ClockReading] = read_clock) -> None:
        """Look at what the last run wrote to *file*."""
        self._file = file
        self._read = read
        self._last = read()
        self._kept_s = 0.0
        self._latest_s = max(self._last.wall_s, _kept(file))
        """The latest time that peers may have seen in a handshake of ours."""

    def look(self) -> None:
        """Compare the clocks again; write the time down now and then. Blocking, briefly."""
        now = self._read()
        expected_s = self._last.wall_s + (now.running_s - self._last.running_s)
        self._latest_s = max(self._latest_s, now.wall_s, expected_s)
        self._last = now
        if now.running_s - self._kept_s >= KEEP_EVERY_S or not self._kept_s:
            self._kept_s = now.running_s
            temporary = self._file.with_suffix(".new")
            temporary.write_text(f"{self._latest_s:.0f}\n", encoding="ascii")
            temporary.replace(self._file)

    async def run(self) -> NoReturn:
        """Look every second, for ever."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    @property
    def problem(self) -> str:
        """What is wrong with the clock, and how to mend it; empty: nothing."""
        behind_s = self._latest_s - self._last.wall_s
        if behind_s <= TOLERATED_S:
            return ""
        until = datetime.fromtimestamp(self._latest_s, UTC)
        return (
            f"this node's clock was stepped back by {behind_s:.0f} s: other nodes refuse its new "
            f"WireGuard handshakes until it shows {until:%Y-%m-%d %H:%M:%S} UTC. Mend the time "
            "(NTP), or give all nodes new keys: chita fabric rotate-keys"
        )


def _kept(file: Path) -> float:
    """Return what an earlier run wrote; nothing usable counts as nothing."""
    try:
        return float(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0.0
