"""The verdict on one way: a state machine from probes answered and lost to UP and DOWN.

::

    UNKNOWN ── an answer ──▶ UP ── 3 lost in a row ──▶ DOWN
       └────── 3 lost in a row ────────────────────────▶ │
               UP ◀── clean for 10 s, or nothing else is left ──┘

Leaving is fast and coming back is slow, so that a way that fails now and then is not used now and
then. A way that never carried anything has nothing to prove: its first answer is enough.
"""

from __future__ import annotations

from chita.fabric.health import Verdict
from chita.fabric.timing import DEFAULT, Timing
from chita.model.net import Address

_READMIT_ANSWERS = 3
"""So many answers in the clean time at least, however rarely a way is probed."""


class Trial:
    """One way as its probes show it. Times are seconds of one monotonic clock."""

    __slots__ = (
        "_answers", "_clean_since_s", "_first_lost_s", "_rtt_s", "_swing_s", "_targets", "_timing",
        "_was_up", "lost_in_row", "reason", "since_s", "verdict",
    )  # fmt: skip

    def __init__(self, now_s: float, timing: Timing = DEFAULT) -> None:
        self._timing = timing
        self.verdict = Verdict.UNKNOWN
        self.reason = "not probed yet"
        self.since_s = now_s
        self.lost_in_row = 0
        self._targets: set[Address] = set()
        self._first_lost_s = now_s
        self._clean_since_s: float | None = None
        self._answers = 0
        self._was_up = False
        self._rtt_s: float | None = None
        self._swing_s = 0.0

    def recall(self, verdict: Verdict, reason: str) -> None:
        """Start with what an earlier run found."""
        self.verdict, self.reason = verdict, reason
        self._was_up = verdict is Verdict.UP

    @property
    def is_suspect(self) -> bool:
        """Whether something was lost that no answer has followed yet, and no verdict stands."""
        return self.lost_in_row > 0 and self.verdict is not Verdict.DOWN

    @property
    def silent(self) -> frozenset[Address]:
        """The targets that did not answer since the last answer."""
        return frozenset(self._targets)

    @property
    def patience_s(self) -> float:
        """How long an answer may take before its probe counts as lost (RFC 6298 section 2)."""
        timing = self._timing
        if self._rtt_s is None:
            return min(2 * timing.patience_s, timing.last_patience_s)
        usual_s = self._rtt_s + 4 * self._swing_s
        return min(max(usual_s, timing.patience_s), timing.last_patience_s)

    def answer(self, now_s: float, rtt_s: float, *, has_other: bool) -> bool:
        """Take an answer, however late it was; return whether the verdict changed.

        Args:
            now_s: now.
            rtt_s: its round trip.
            has_other: whether another way to the same place is UP: then this one can wait.
        """
        self._learn(rtt_s)
        self.lost_in_row = 0
        self._targets.clear()
        match self.verdict:
            case Verdict.UP:
                return False
            case Verdict.UNKNOWN:
                return self._turn(Verdict.UP, now_s, "it answers")
            case Verdict.DOWN:
                return self._readmit(now_s, has_other=has_other)

    def _readmit(self, now_s: float, *, has_other: bool) -> bool:
        if self._clean_since_s is None:
            self._clean_since_s, self._answers = now_s, 0
        self._answers += 1
        clean_s = now_s - self._clean_since_s
        if not self._was_up:
            return self._turn(Verdict.UP, now_s, "it answers, for the first time")
        if not has_other:
            return self._turn(Verdict.UP, now_s, "it answers again, and no other way does")
        if clean_s >= self._timing.clean_s and self._answers >= _READMIT_ANSWERS:
            return self._turn(Verdict.UP, now_s, f"nothing was lost for {clean_s:.0f} s")
        return False

    def lose(
        self, now_s: float, sent_s: float, *, target: Address, targets_needed: int, why: str = ""
    ) -> bool:
        """Take the loss of a probe; return whether the verdict changed.

        Args:
            now_s: now.
            sent_s: when it was sent.
            target: who was to answer.
            targets_needed: how many different targets must have been silent.
            why: what the kernel said, if it could not even be sent.
        """
        self._clean_since_s = None
        if not self.lost_in_row:
            self._first_lost_s = sent_s
        self.lost_in_row += 1
        self._targets.add(target)
        if self.verdict is Verdict.DOWN or self.lost_in_row < self._timing.losses:
            return False
        if len(self._targets) < targets_needed:
            return False
        lost = f"{self.lost_in_row} of {self.lost_in_row} probes lost"
        if targets_needed > 1:
            lost += f", to {len(self._targets)} nodes"
        reason = (
            f"cannot be sent: {why}" if why else f"{lost} in {now_s - self._first_lost_s:.1f} s"
        )
        return self._turn(Verdict.DOWN, now_s, reason)

    def condemn(self, now_s: float, reason: str) -> bool:
        """Take it as DOWN for something else's sake; return whether the verdict changed."""
        if self.verdict is Verdict.DOWN:
            return False
        return self._turn(Verdict.DOWN, now_s, reason)

    def admit(self, now_s: float) -> bool:
        """Take it back if it answers, since nothing else is left; return whether it changed."""
        if self.verdict is not Verdict.DOWN or self._clean_since_s is None:
            return False
        return self._turn(Verdict.UP, now_s, "it answers again, and no other way does")

    def _turn(self, verdict: Verdict, now_s: float, reason: str) -> bool:
        self.verdict, self.reason, self.since_s = verdict, reason, now_s
        self._was_up = self._was_up or verdict is Verdict.UP
        self._clean_since_s = None
        return True

    def _learn(self, rtt_s: float) -> None:
        """Follow the usual round trip and its swing (RFC 6298 section 2.3)."""
        if self._rtt_s is None:
            self._rtt_s, self._swing_s = rtt_s, rtt_s / 2
            return
        self._swing_s += (abs(rtt_s - self._rtt_s) - self._swing_s) / 4
        self._rtt_s += (rtt_s - self._rtt_s) / 8
