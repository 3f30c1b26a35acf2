"""Round trips and losses of one way: the last minute sample by sample, the last hour in steps.

Arrays of fixed size: a thousand ways are a few megabytes, however long the agent runs.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import msgspec

RECENT_S = 60.0
STEP_S = 10.0
"""One bucket of the history."""
STEPS = 360
"""An hour."""
_RECENT = 128
"""The last samples: at five a second half a minute, which is as typical as a whole one."""
_LOST = -1.0
_FIELDS = 5
"""Of a step: its number, sent, lost, sum of the round trips, the longest."""


class Recent(msgspec.Struct, frozen=True, kw_only=True):
    """A way in the last minute."""

    sent: int = 0
    lost: int = 0
    p50_s: float | None = None
    p99_s: float | None = None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A way in ten seconds."""

    start_s: float
    """Its beginning, seconds of the clock that the samples carry."""
    sent: int
    lost: int
    mean_s: float | None
    """Mean round trip; None: nothing was answered."""
    worst_s: float | None


class Samples:
    """What came of the probes of one way."""

    __slots__ = ("_first", "_history", "_next", "_rtts", "_times", "lost", "sent")

    def __init__(self) -> None:
        self.sent = 0
        """How many there were since the beginning."""
        self.lost = 0
        self._rtts = array("f")
        self._times = array("d")
        self._next = 0
        self._first = -1
        """Number of the step of the first sample: the place of the others is counted from it."""
        self._history = array("f")

    def add(self, now_s: float, rtt_s: float | None) -> None:
        """Take a sample; None: it was lost."""
        self.sent += 1
        self.lost += rtt_s is None
        value = _LOST if rtt_s is None else rtt_s
        if len(self._rtts) < _RECENT:
            self._rtts.append(value)
            self._times.append(now_s)
        else:
            self._rtts[self._next] = value
            self._times[self._next] = now_s
            self._next = (self._next + 1) % _RECENT
        self._count(now_s, rtt_s)

    def recent(self, now_s: float) -> Recent:
        """Return the last minute, or what of it is still known."""
        seen = [
            rtt for rtt, at in zip(self._rtts, self._times, strict=True) if now_s - at <= RECENT_S
        ]
        rtts = sorted(rtt for rtt in seen if rtt != _LOST)
        if not rtts:
            return Recent(sent=len(seen), lost=len(seen))
        return Recent(
            sent=len(seen),
            lost=len(seen) - len(rtts),
            p50_s=rtts[len(rtts) // 2],
            p99_s=rtts[min(len(rtts) - 1, len(rtts) * 99 // 100)],
        )

    def steps(self, now_s: float) -> Iterator[Step]:
        """Yield the last hour, oldest first; steps in which nothing was sent are left out."""
        current = int(now_s / STEP_S)
        for number in range(max(self._first, current - STEPS + 1), current + 1):
            base = self._base(number)
            if base >= len(self._history) or self._history[base] != number:
                continue
            _, sent, lost, total, worst = self._history[base : base + _FIELDS]
            answered = sent - lost
            yield Step(
                start_s=number * STEP_S,
                sent=int(sent),
                lost=int(lost),
                mean_s=total / answered if answered else None,
                worst_s=worst if answered else None,
            )

    def _count(self, now_s: float, rtt_s: float | None) -> None:
        """Add to the step of *now_s*; its place still has what was there an hour ago."""
        step = int(now_s / STEP_S)
        if self._first < 0:
            self._first = step
        base, history = self._base(step), self._history
        if base >= len(history):
            history.extend([0.0] * (base + _FIELDS - len(history)))
        if history[base] != step:
            history[base : base + _FIELDS] = array("f", (step, 0.0, 0.0, 0.0, 0.0))
        history[base + 1] += 1
        if rtt_s is None:
            history[base + 2] += 1
        else:
            history[base + 3] += rtt_s
            history[base + 4] = max(history[base + 4], rtt_s)

    def _base(self, step: int) -> int:
        return (step - self._first) % STEPS * _FIELDS
