"""Watched: one probed way with all that is known of it, and the probes on their way."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable

import msgspec

from chita.fabric.samples import Samples
from chita.fabric.schedule import Target, sizes
from chita.fabric.sizes import SizeSearch
from chita.fabric.timing import Timing
from chita.fabric.verdicts import Trial
from chita.model.net import Address


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """A packet to send."""

    token: int
    """What its answer carries."""
    target: Target
    end: Address
    """Who is to answer."""
    size_bytes: int = 0
    """Of the IP packet; 0: as small as can be, to see whether the way carries packets at all."""


class Sent(msgspec.Struct, kw_only=True):
    """A probe under way."""

    probe: Probe
    sent_s: float
    patience_s: float
    is_lost: bool = False


class Watched:
    """One way: what it is, and all that is known of it."""

    __slots__ = (
        "due_s", "heard_s", "large_lost_s", "rtt_s", "samples", "size", "suspects", "target",
        "trial", "turn",
    )  # fmt: skip

    def __init__(self, target: Target, now_s: float, timing: Timing) -> None:
        self.target = target
        self.trial = Trial(now_s, timing)
        self.samples = Samples()
        self.size = SizeSearch(target.mtu_bytes, sizes(target), now_s, timing)
        self.due_s = now_s
        self.heard_s = -math.inf
        """When a small probe was answered last."""
        self.large_lost_s: float | None = None
        """When the first full-size probe was sent that was lost, and none answered since."""
        self.rtt_s: float | None = None
        """The median that was told of last."""
        self.turn = zlib.crc32(repr(target.way).encode())
        """Which end is asked next; each way starts with another one."""
        self.suspects: dict[Address, float] = {}
        """Ends that were silent where their neighbours answered, and until when they rest."""

    def next_end(self, now_s: float) -> Address:
        """Return who is to answer next."""
        ends = self.target.ends
        for _ in ends:
            self.turn += 1
            end = ends[self.turn % len(ends)]
            if self.suspects.get(end, now_s) <= now_s:
                return end
        return ends[self.turn % len(ends)]

    def is_rested(self, end: Address) -> bool:
        """Whether *end* was under suspicion, and others are not."""
        return end in self.suspects and not self.suspects.keys() >= set(self.target.ends)

    def suspect(self, ends: Iterable[Address], now_s: float, rest_s: float) -> None:
        """Let *ends* rest, each for longer than the one before: they must not come back at once."""
        for place, end in enumerate(ends, 1):
            self.suspects[end] = now_s + place * rest_s
