"""Survey: all probed ways of one node, from probes answered and lost to a new Health.

Pure but for its own memory: it is told the time and what happened, and says what to send. Sockets
are `chita.agent.prober`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heappop, heappush
from itertools import count, permutations

from chita.fabric.health import UNPROBED, Health, Transit, Verdict, Way, WayHealth
from chita.fabric.schedule import Target, Use
from chita.fabric.timing import DEFAULT, Timing
from chita.fabric.watched import Probe, Sent, Watched
from chita.model.net import Address

_BURST_S = 0.2
"""How much of the budget may be spent at once, seconds of it."""
_BURST_REBATE = 0.75
"""Full-size probes cost a quarter of their number."""
_CLOCK_SLACK_S = 0.01
"""How much longer than by our clock a round trip may be by that of the time stamps."""
_REORDER_S = 5.0
"""How often the order of relays is looked at."""


class Survey:
    """The ways that are probed, what was sent, and the health that follows."""

    def __init__(self, timing: Timing = DEFAULT, remembered: Health = UNPROBED) -> None:
        """Start with the verdicts that an earlier run found: *remembered*."""
        self._timing = timing
        self._remembered = dict(remembered.ways)
        self.ways: dict[Way, Watched] = {}
        self._due: dict[bool, list[tuple[float, int, Way]]] = {True: [], False: []}
        """Heaps of what is to be sent when, the urgent apart."""
        self._due_sizes: list[tuple[float, int, Way]] = []
        self._places: dict[str, list[Way]] = {}
        """Ways by the location they lead to."""
        self._relayed: dict[str, list[Way]] = {}
        """Of these, those through a relay."""
        self._nodes: dict[str, list[Way]] = {}
        """The others by the node they lead to."""
        self._reorder_s = 0.0
        self._tokens = count(1)
        self._awaited: dict[int, Sent] = {}
        self._late: dict[int, Sent] = {}
        self._allowance = 0.0
        self._last_s: float | None = None
        self._changed: set[Way] = set()
        self._health: Health = remembered
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
                # Once: a way that goes and comes back is another, of which nothing is known.
                known = self._remembered.pop(way, None)
                if known is not None:
                    watched.trial.recall(known.verdict, known.reason)
                # Spread over the interval, the same way after each start.
                self._plan(way, now_s + watched.turn / (1 << 32) * min(target.every_s, 1.0))
            elif watched.target != target:
                sooner = target.every_s < watched.target.every_s
                watched.target = target
                if watched.size.promise(target.mtu_bytes, now_s):
                    self._changed.add(way)
                    self._plan_size(way, now_s)
                self._plan(
                    way, min(watched.due_s, now_s + target.every_s) if sooner else watched.due_s
                )
        self._places, self._relayed, self._nodes = {}, {}, {}
        for way, watched in self.ways.items():
            location = watched.target.location
            self._places.setdefault(location, []).append(way)
            if isinstance(way, Transit):
                self._relayed.setdefault(location, []).append(way)
            else:
                self._nodes.setdefault(way.node, []).append(way)

    def _plan(self, way: Way, due_s: float) -> None:
        watched = self.ways[way]
        watched.due_s = due_s
        urgent = watched.target.use is Use.URGENT
        heappush(self._due[urgent], (due_s, next(self._tokens), way))

    def _plan_size(self, way: Way, due_s: float) -> None:
        self.ways[way].size.due_s = due_s
        heappush(self._due_sizes, (due_s, next(self._tokens), way))

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
                probes.append(self._sent(watched, now_s))
                interval_s = watched.target.every_s
                if watched.trial.is_suspect:
                    interval_s = min(interval_s, self._timing.confirm_s)
                self._plan(way, max(due_s, now_s - interval_s / 2) + interval_s)
        return probes + self._sizes_due(now_s)

    def _sizes_due(self, now_s: float) -> list[Probe]:
        """Return the full-size probes to send now, and bursts whole, whatever the budget has left.

        Only over ways that carry small ones.
        """
        heap, probes = self._due_sizes, []
        while heap and heap[0][0] <= now_s and self._allowance >= 1:
            due_s, _, way = heappop(heap)
            watched = self.ways.get(way)
            if watched is None or watched.size.due_s != due_s:
                continue
            if watched.trial.verdict is Verdict.UP:
                wanted = watched.size.due(now_s, every_s=watched.target.size_every_s)
                end = watched.next_end(now_s)
                probes += [self._sent(watched, now_s, size, end) for size in wanted]
                # A small one beside it, so that it is known at once what a loss means.
                soon_s = now_s + self._timing.confirm_s / 2
                if wanted and watched.due_s > soon_s:
                    self._plan(way, now_s)
                # A burst is rare, and what it holds up are the probes that watch over life.
                self._allowance += len(wanted) * _BURST_REBATE
                self._plan_size(way, watched.size.due_s)
            # Else it is planned anew once the way is up.
        return probes

    def _sent(
        self, watched: Watched, now_s: float, size_bytes: int = 0, end: Address | None = None
    ) -> Probe:
        probe = Probe(
            token=next(self._tokens),
            target=watched.target,
            end=end or watched.next_end(now_s),
            size_bytes=size_bytes,
        )
        self._awaited[probe.token] = Sent(
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
        elapsed_s = now_s - sent.sent_s
        if not 0 <= rtt_s <= elapsed_s + _CLOCK_SLACK_S:
            rtt_s = elapsed_s  # the clock of the time stamps was set meanwhile
        size_bytes = sent.probe.size_bytes
        if size_bytes:
            watched.large_lost_s = None
            if watched.size.answer(size_bytes, now_s):
                self._changed.add(way)
            self._plan_size(way, watched.size.due_s)
        else:
            watched.heard_s = now_s
            if not sent.is_lost:
                watched.samples.add(now_s, rtt_s)
        trial = watched.trial
        if len(watched.target.ends) > 1:
            watched.suspects.pop(sent.probe.end, None)
            silent = trial.silent - {sent.probe.end}
            watched.suspect(silent, now_s, self._timing.suspect_s)
        has_other = trial.verdict is Verdict.DOWN and self._has_other(way)
        if trial.answer(now_s, rtt_s, has_other=has_other):
            self._changed.add(way)
            self._plan_size(way, now_s)

    def unsent(self, token: int, now_s: float, why: str) -> None:
        """Take it that a probe could not be sent: *why* is what the kernel said."""
        sent = self._awaited.pop(token, None)
        if sent is not None:
            self._lose(sent, now_s, why)

    def too_large(self, token: int, now_s: float) -> None:
        """Take it that our own device does not take a packet of this size."""
        sent = self._awaited.pop(token, None)
        watched = self.ways.get(sent.probe.target.way) if sent is not None else None
        if sent is not None and watched is not None:
            if watched.size.refuse(sent.probe.size_bytes, now_s):
                self._changed.add(sent.probe.target.way)
            self._plan_size(sent.probe.target.way, watched.size.due_s)

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

    def _lose(self, sent: Sent, now_s: float, why: str = "") -> None:
        way = sent.probe.target.way
        watched = self.ways.get(way)
        if watched is None:
            return
        if sent.probe.size_bytes:
            self._lose_size(sent, watched, now_s)
            return
        if watched.is_rested(sent.probe.end):
            # It was silent before, alone: that it still is says nothing of the way.
            watched.suspect([sent.probe.end], now_s, self._timing.suspect_s)
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

    def _lose_size(self, sent: Sent, watched: Watched, now_s: float) -> None:
        way = watched.target.way
        if watched.large_lost_s is None:
            watched.large_lost_s = sent.sent_s
        small_pass = watched.heard_s > watched.large_lost_s and not watched.trial.lost_in_row
        if watched.size.lose(sent.probe.size_bytes, now_s, small_pass=small_pass):
            self._changed.add(way)
        self._plan_size(way, watched.size.due_s)
        self._plan(way, now_s)  # does a small one pass?

    # ── what follows ──────────────────────────────────────────────────────────────────────────

    def _turned_down(self, way: Way, now_s: float) -> None:
        """Give up what depends on *way*, and use what answers at all where nothing else is left."""
        self._changed.add(way)
        places = {self.ways[way].target.location}
        if not isinstance(way, Transit) and not any(map(self._is_up, self._to_node(way.node))):
            for other, watched in self.ways.items():
                if isinstance(other, Transit) and other.relay == way.node:
                    reason = f"{way.node} itself does not answer"
                    if watched.trial.condemn(now_s, reason):
                        self._changed.add(other)
                        places.add(watched.target.location)
        for other in (it for place in places for it in self._places[place]):
            trial = self.ways[other].trial
            is_left = trial.verdict is Verdict.DOWN and not self._has_other(other)
            if is_left and trial.admit(now_s):
                self._changed.add(other)

    def _to_node(self, node: str) -> list[Way]:
        return self._nodes.get(node, [])

    def _is_up(self, way: Way) -> bool:
        return self.ways[way].trial.verdict is Verdict.UP

    def _has_other(self, way: Way) -> bool:
        """Whether another way than *way* leads where it leads, and is UP.

        That a node of a location is reached directly is no help to those behind a relay; nor is a
        way through a relay that is not reached itself, least of all to that relay.
        """
        others = self._relayed.get(self.ways[way].target.location, [])
        if any(other != way and self._is_carrying(other, way) for other in others):
            return True
        if isinstance(way, Transit):
            return False
        return any(other != way and self._is_up(other) for other in self._to_node(way.node))

    def _is_carrying(self, relayed: Way, way: Way) -> bool:
        """Whether *relayed* is UP, and so is a way to its relay, other than *way*."""
        assert isinstance(relayed, Transit)
        hops = self._to_node(relayed.relay)
        return self._is_up(relayed) and (
            not hops or any(hop != way and self._is_up(hop) for hop in hops)
        )

    def _reorder(self, now_s: float) -> None:
        """Tell the round trips through relays anew where their order has become another."""
        for ways in self._relayed.values():
            up = [self.ways[way] for way in ways if self._is_up(way)]
            medians = {it.target.way: it.samples.recent(now_s).p50_s for it in up}
            if any(
                _is_faster(medians[b.target.way], medians[a.target.way], self._timing.margin)
                and not _is_faster(b.rtt_s, a.rtt_s, 0.0)
                for a, b in permutations(up, 2)
            ):
                self._changed.update(medians)

    def health(self, now_s: float, wall_s: float) -> Health:
        """Return what is known; the same object while nothing changed that paths depend on.

        Args:
            now_s: now, by the clock of the probes.
            wall_s: now, seconds since the epoch.
        """
        if self._reorder_s <= now_s:
            self._reorder_s = now_s + _REORDER_S
            self._reorder(now_s)
        if not self._changed:
            return self._health
        ways = dict(self._health.ways)
        for way in self._changed:
            watched = self.ways.get(way)
            if watched is None:
                ways.pop(way, None)
                continue
            trial = watched.trial
            watched.rtt_s = watched.samples.recent(now_s).p50_s
            ways[way] = WayHealth(
                verdict=trial.verdict,
                reason=trial.reason,
                since_s=wall_s - (now_s - trial.since_s),
                mtu_bytes=watched.size.mtu_bytes,
                rtt_s=watched.rtt_s,
            )
        self._changed = set()
        self._health = Health(ways)
        return self._health


def _is_faster(one_s: float | None, other_s: float | None, margin: float) -> bool:
    """Whether the first round trip is shorter, by *margin* of the second; unknown is longest."""
    if one_s is None or other_s is None:
        return one_s is not None
    return one_s < other_s * (1 - margin)
