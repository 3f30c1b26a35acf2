"""Survey: all probed ways of one node, from probes answered and lost to a new Health.

Pure but for its own memory: it is told the time and what happened, and says what to send. Sockets
are `chita.agent.prober`'s.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from heapq import heappop, heappush
from itertools import count

import msgspec

from chita.fabric.health import UNPROBED, Direct, Health, Local, Transit, Verdict, Way, WayHealth
from chita.fabric.samples import Samples
from chita.fabric.schedule import Target, Use
from chita.fabric.timing import DEFAULT, Timing
from chita.fabric.verdicts import Trial
from chita.model.net import Address

_BURST_S = 0.2
"""How much of the budget may be spent at once, seconds of it."""


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """A packet to send."""

    token: int
    """What its answer carries."""
    target: Target
    end: Address
    """Who is to answer."""
    size_bytes: int = 0
    """Of the IP packet, for the search of the largest; 0: as small as can be."""


class _Sent(msgspec.Struct, kw_only=True):
    """A probe under way."""

    probe: Probe
    sent_s: float
    patience_s: float
    is_lost: bool = False


class Watched:
    """One way: what it is, and all that is known of it."""

    __slots__ = ("due_s", "health", "samples", "target", "trial", "turn")

    def __init__(self, target: Target, now_s: float, timing: Timing) -> None:
        self.target = target
        self.trial = Trial(now_s, timing)
        self.samples = Samples()
        self.due_s = now_s
        self.turn = zlib.crc32(repr(target.way).encode())
        """Which end is asked next; each way starts with another one."""
        self.health = WayHealth()

    def next_end(self) -> Address:
        """Return who is to answer next."""
        self.turn += 1
        return self.target.ends[self.turn % len(self.target.ends)]


class Survey:
    """The ways that are probed, what was sent, and the health that follows."""

    def __init__(self, timing: Timing = DEFAULT) -> None:
        self._timing = timing
        self.ways: dict[Way, Watched] = {}
        self._due: dict[bool, list[tuple[float, int, Way]]] = {True: [], False: []}
        """Heaps of what is to be sent when, the urgent apart."""
        self._places: dict[str, list[Way]] = {}
        """Ways by the location they lead to."""
        self._tokens = count(1)
        self._awaited: dict[int, _Sent] = {}
        self._late: dict[int, _Sent] = {}
        self._allowance = 0.0
        self._last_s: float | None = None
        self._changed: set[Way] = set()
        self._health: Health = UNPROBED
        self.sent = 0

    # ── what is probed ────────────────────────────────────────────────────────────────────────

    def follow(self, targets: Mapping[Way, Target], now_s: float) -> None:
        """Probe *targets* from now on; what is known of those that stay is kept."""
        for way in self.ways.keys() - targets.keys():
            del self.ways[way]
            self._changed.add(way)
        for way, target in targets.items():
            watched = self.ways.get(way)
            if watched is None:
                self.ways[way] = watched = Watched(target, now_s, self._timing)
                # Spread over the interval, the same way after each start.
                self._plan(way, now_s + watched.turn / (1 << 32) * min(target.every_s, 1.0))
            elif watched.target != target:
                sooner = target.every_s < watched.target.every_s
                watched.target = target
                self._plan(
                    way, min(watched.due_s, now_s + target.every_s) if sooner else watched.due_s
                )
        self._places = {}
        for way, watched in self.ways.items():
            self._places.setdefault(watched.target.location, []).append(way)

    def _plan(self, way: Way, due_s: float) -> None:
        watched = self.ways[way]
        watched.due_s = due_s
        urgent = watched.target.use is Use.URGENT
        heappush(self._due[urgent], (due_s, next(self._tokens), way))

    # ── what is sent ──────────────────────────────────────────────────────────────────────────

    def due(self, now_s: float) -> list[Probe]:
        """Return the probes to send now, counted as sent; the urgent first, within the budget."""
        elapsed_s = now_s - self._last_s if self._last_s is not None else _BURST_S
        self._last_s = now_s
        budget = self._timing.budget
        self._allowance = min(self._allowance + elapsed_s * budget, budget * _BURST_S)
        probes = []
        for heap in (self._due[True], self._due[False]):
            while heap and heap[0][0] <= now_s and self._allowance >= 1:
                due_s, _, way = heappop(heap)
                watched = self.ways.get(way)
                if watched is None or watched.due_s != due_s:
                    continue  # planned anew since
                probes.append(self._send(watched, now_s))
                interval_s = watched.target.every_s
                if watched.trial.is_suspect:
                    interval_s = min(interval_s, self._timing.confirm_s)
                self._plan(way, max(due_s, now_s - interval_s / 2) + interval_s)
        return probes

    def _send(self, watched: Watched, now_s: float) -> Probe:
        probe = Probe(token=next(self._tokens), target=watched.target, end=watched.next_end())
        self._awaited[probe.token] = _Sent(
            probe=probe, sent_s=now_s, patience_s=watched.trial.patience_s
        )
        self._allowance -= 1
        self.sent += 1
        return probe

    # ── what came of it ───────────────────────────────────────────────────────────────────────

    def answered(self, token: int, now_s: float, rtt_s: float) -> None:
        """Take the answer to a probe, also to one that was given up; a second one is none."""
        sent = self._awaited.pop(token, None) or self._late.pop(token, None)
        if sent is None:
            return
        way = sent.probe.target.way
        watched = self.ways.get(way)
        if watched is None:
            return
        if not sent.is_lost:
            watched.samples.add(now_s, rtt_s)
        if watched.trial.answer(now_s, rtt_s, has_other=self._has_other(way)):
            self._changed.add(way)

    def unsent(self, token: int, now_s: float, why: str) -> None:
        """Take it that a probe could not be sent: *why* is what the kernel said."""
        sent = self._awaited.pop(token, None)
        if sent is not None:
            self._lose(sent, now_s, why)

    def forget(self, token: int) -> None:
        """Take it that a probe was never sent, for a reason that says nothing of its way."""
        self._awaited.pop(token, None)

    def expire(self, now_s: float) -> None:
        """Give up what was not answered in time. Take the answers that are there before."""
        overdue = [
            token for token, it in self._awaited.items() if now_s - it.sent_s > it.patience_s
        ]
        for token in overdue:
            sent = self._awaited.pop(token)
            sent.is_lost = True
            self._late[token] = sent
            self._lose(sent, now_s)
        while self._late:
            token, sent = next(iter(self._late.items()))
            if now_s - sent.sent_s <= self._timing.late_s:
                break
            del self._late[token]

    def _lose(self, sent: _Sent, now_s: float, why: str = "") -> None:
        way = sent.probe.target.way
        watched = self.ways.get(way)
        if watched is None:
            return
        watched.samples.add(now_s, None)
        first = not watched.trial.lost_in_row
        turned = watched.trial.lose(
            now_s,
            sent.sent_s,
            target=sent.probe.end,
            targets_needed=min(2, len(watched.target.ends)),
            why=why,
        )
        if turned:
            self._turned_down(way, now_s)
        elif first and watched.trial.is_suspect:
            self._plan(way, now_s)

    def _turned_down(self, way: Way, now_s: float) -> None:
        """Use what answers at all where nothing else is left."""
        self._changed.add(way)
        for other in self._alternatives(way):
            if not self._has_other(other) and self.ways[other].trial.admit(now_s):
                self._changed.add(other)

    # ── what follows ──────────────────────────────────────────────────────────────────────────

    def _alternatives(self, way: Way) -> Iterator[Way]:
        """Yield the other ways by which traffic of *way* could go."""
        for other in self._places.get(self.ways[way].target.location, ()):
            match way, other:
                case Transit(), _:
                    related = True
                case (
                    (Local(node=node) | Direct(node=node)),
                    (Local(node=there) | Direct(node=there)),
                ):
                    related = node == there
                case _:
                    related = True
            if related and other != way:
                yield other

    def _has_other(self, way: Way) -> bool:
        """Whether another way than *way* leads where it leads, and is UP.

        That a node of a location is reached directly is no help to those behind a relay.
        """
        return any(
            self.ways[other].trial.verdict is Verdict.UP
            for other in self._alternatives(way)
            if isinstance(other, Transit) or not isinstance(way, Transit)
        )

    def health(self, now_s: float, wall_s: float) -> Health:
        """Return what is known; the same object while nothing changed that paths depend on.

        Args:
            now_s: now, by the clock of the probes.
            wall_s: now, seconds since the epoch.
        """
        if not self._changed:
            return self._health
        ways = dict(self._health.ways)
        for way in self._changed:
            watched = self.ways.get(way)
            if watched is None:
                ways.pop(way, None)
                continue
            trial = watched.trial
            ways[way] = watched.health = WayHealth(
                verdict=trial.verdict,
                reason=trial.reason,
                since_s=wall_s - (now_s - trial.since_s),
                rtt_s=watched.samples.recent(now_s).p50_s,
            )
        self._changed = set()
        self._health = Health(ways)
        return self._health
