"""Which ordinary nodes of a large fabric have a tunnel with each other, because they are busy.

Pure decisions of one end; `chita.agent.shortcuts` reads the counters and talks to the other. ::

                  busy, or the other asks              the other holds it too
    (nothing) ──────────────────────────▶ held ──────────────────────────────▶ OPEN
        ▲                                   │ no answer                          │ idle, displaced,
        │◀──────────────────────────────────┘                                    ▼ or given up there
        └─────────────────────────────────────────────────────────────────── CLOSING
                    the other sends nothing by it any more, or is gone

Each end tells what it does, and closes in two steps: first nobody sends by the tunnel, then it
goes. So no packet meets an end that has forgotten it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from chita.fabric.health import Shortcut, ShortcutState
from chita.fabric.questions import Stance

MOST = 64
"""Shortcuts of one node, those that close included."""
BUSY_BYTES_S = 125_000.0
"""Both ways together, as each end counts what it sends; a megabit a second."""
CALM_SHARE = 0.5
"""Below this share of it a pair is idle, so that a load about the mark does not come and go."""
BUSY_S = 2.0
"""How long a pair must be busy before a shortcut is worth it."""
IDLE_S = 180.0
"""How long it must be idle before the shortcut ends."""
ANSWER_S = 5.0
"""How long the other end may take to hold it too."""
RETRY_S = 30.0
"""When one that did not is asked again."""
PROOF_S = 30.0
"""How long no packet may have taken an open shortcut before it is given up."""
UNPROVEN_RETRY_S = 600.0
"""When one that no answer came over is tried again: its NATs are as they are."""
LEASE_S = 15.0
"""How long what the other end told counts."""
SETTLED_S = 60.0
"""How long a shortcut stands before a busier pair takes its place."""
MARGIN = 2.0
"""How much busier that pair must be."""
GRACE_S = 1.0
"""What is on its way when both ends have ceased to send arrives within this time."""

_SMOOTHING_S = 10.0
"""Over how long the load by which pairs are ranked is taken."""

_OPEN = "a shortcut, for the two are busy"


class _Pair:
    """What we know of us and one other node."""

    __slots__ = (
        "ask_again_s",
        "busy_since_s",
        "calm_since_s",
        "closing_s",
        "held_s",
        "load",
        "looked_s",
        "not_before_s",
        "reason",
        "sent",
        "stance",
        "told",
        "told_s",
        "tunnel",
        "used_s",
    )

    def __init__(self, now_s: float) -> None:
        self.sent = 0.0
        """What we send, bytes a second."""
        self.told = 0.0
        """What the other end says that it sends."""
        self.told_s = float("-inf")
        self.stance = Stance.NONE
        """Of the other end, as it told last."""
        self.load = 0.0
        self.looked_s = now_s
        self.busy_since_s: float | None = None
        self.calm_since_s: float | None = now_s
        self.held_s: float | None = None
        """Since when we hold it; None: we don't."""
        self.tunnel: ShortcutState | None = None
        self.used_s = 0.0
        """When it opened, or a packet could take it last."""
        self.closing_s = 0.0
        self.not_before_s = float("-inf")
        self.ask_again_s = float("-inf")
        """When we may ask for it; if the other end asks, sooner."""
        self.reason = ""

    def is_fresh(self, now_s: float) -> bool:
        return now_s - self.told_s <= LEASE_S

    def traffic(self, now_s: float) -> float:
        """Return what both send, bytes a second."""
        return self.sent + (self.told if self.is_fresh(now_s) else 0.0)

    def look(self, now_s: float) -> None:
        traffic = self.traffic(now_s)
        share = min(1.0, (now_s - self.looked_s) / _SMOOTHING_S)
        self.load += (traffic - self.load) * share
        self.looked_s = now_s
        if traffic < BUSY_BYTES_S:
            self.busy_since_s = None
        elif self.busy_since_s is None:
            self.busy_since_s = now_s
        if traffic >= CALM_SHARE * BUSY_BYTES_S:
            self.calm_since_s = None
        elif self.calm_since_s is None:
            self.calm_since_s = now_s

    def takes_place(self) -> bool:
        return self.held_s is not None or self.tunnel is not None

    def is_forgettable(self, now_s: float) -> bool:
        return (
            not self.takes_place()
            and self.busy_since_s is None
            and now_s >= max(self.not_before_s, self.ask_again_s)
            and not (self.is_fresh(now_s) and self.stance is not Stance.NONE)
        )

    def drop(self, reason: str, now_s: float, *, retry_s: float = 0.0) -> None:
        """Hold it no more; what stands is closed."""
        self.held_s = None
        self.reason = reason
        self.ask_again_s = now_s + retry_s
        if self.tunnel is ShortcutState.OPEN:
            self.tunnel, self.closing_s = ShortcutState.CLOSING, now_s


class Pairs:
    """What one node knows of its busy pairs. Times are seconds of one monotonic clock.

    Args:
        standing: nodes with which a tunnel may stand since an earlier agent: it is closed.
        now_s: now.
    """

    def __init__(self, standing: Iterable[str] = (), now_s: float = 0.0) -> None:
        self._pairs: dict[str, _Pair] = {}
        for name in standing:
            pair = self._pairs[name] = _Pair(now_s)
            pair.tunnel, pair.closing_s = ShortcutState.CLOSING, now_s
            pair.reason = "the agent was restarted"

    def measure(self, sent: Mapping[str, float], now_s: float) -> None:
        """Take what we send to each node, bytes a second; to others nothing."""
        for name, rate in sent.items():
            if rate >= BUSY_BYTES_S and name not in self._pairs:
                self._pairs[name] = _Pair(now_s)
        for name, pair in self._pairs.items():
            pair.sent = sent.get(name, 0.0)
            pair.look(now_s)

    def hear(self, node: str, stance: Stance, sent: float, now_s: float) -> None:
        """Take what the other end told: what it does, and what it sends us, bytes a second."""
        pair = self._pairs.get(node)
        if pair is None:
            if stance is Stance.NONE:
                return
            pair = self._pairs[node] = _Pair(now_s)
        pair.stance, pair.told, pair.told_s = stance, sent, now_s

    def decide(
        self,
        now_s: float,
        *,
        refusal: Callable[[str], str | None],
        in_use: Collection[str],
        silent: Collection[str],
    ) -> None:
        """Hold, open, close and forget.

        Args:
            now_s: now.
            refusal: why no tunnel can stand with a node, empty: it can; None: the two need no
                shortcut, or are none that meet at gateways.
            in_use: nodes that we send to by our own tunnel with them.
            silent: nodes whose tunnel with us does not answer.
        """
        for name in list(self._pairs):
            why_not = refusal(name)
            if why_not is None:
                del self._pairs[name]
                continue
            pair = self._pairs[name]
            if name in in_use:
                pair.used_s = now_s
            self._review(name, pair, why_not, now_s)
            if pair.tunnel is ShortcutState.CLOSING and self._is_closed(
                name, now_s, in_use, silent
            ):
                pair.tunnel = None
                pair.not_before_s = max(pair.not_before_s, now_s + GRACE_S)
            if pair.is_forgettable(now_s):
                del self._pairs[name]
        self._place(now_s, refusal)
        for pair in self._pairs.values():
            is_agreed = pair.stance is Stance.HOLD and pair.is_fresh(now_s)
            if pair.held_s is not None and pair.tunnel is None and is_agreed:
                pair.tunnel, pair.used_s, pair.reason = ShortcutState.OPEN, now_s, _OPEN

    def _review(self, name: str, pair: _Pair, why_not: str, now_s: float) -> None:
        """Drop what is held and should not be any more."""
        if pair.held_s is None:
            return
        is_fresh = pair.is_fresh(now_s)
        calm_s = now_s - pair.calm_since_s if pair.calm_since_s is not None else 0.0
        if why_not:
            pair.drop(why_not, now_s)
        elif calm_s >= IDLE_S:
            pair.drop("the two are not busy any more", now_s)
        elif pair.tunnel is ShortcutState.OPEN:
            if not is_fresh:
                pair.drop(f"{name} does not answer any more", now_s, retry_s=RETRY_S)
            elif pair.stance is not Stance.HOLD:
                pair.drop(f"{name} gave it up", now_s, retry_s=RETRY_S)
            elif now_s - pair.used_s >= PROOF_S:
                why = f"no answer came over a tunnel with {name}"
                pair.drop(why, now_s)
                pair.not_before_s = now_s + UNPROVEN_RETRY_S
        elif now_s - pair.held_s >= ANSWER_S:
            why = f"{name} has as many as it may have" if is_fresh else f"{name} does not answer"
            pair.drop(why, now_s, retry_s=RETRY_S)

    def _is_closed(
        self, name: str, now_s: float, in_use: Collection[str], silent: Collection[str]
    ) -> bool:
        """Whether nobody sends by the tunnel any more.

        An end that does not say so may be without an agent and send all the same: as long as it
        answers probes.
        """
        pair = self._pairs[name]
        if name in in_use or now_s - pair.closing_s < GRACE_S:
            return False
        return name in silent or (pair.stance is Stance.NONE and pair.told_s > float("-inf"))

    def _place(self, now_s: float, refusal: Callable[[str], str | None]) -> None:
        """Hold the busiest that want a place; the least busy leave for those much busier."""
        wishes = [
            (pair, name)
            for name, pair in self._pairs.items()
            if not pair.takes_place() and self._is_wanted(pair, now_s)
        ]
        taken = [pair for pair in self._pairs.values() if pair.takes_place()]
        free = MOST - len(taken)
        leaving = sum(pair.held_s is None for pair in taken)
        settled = sorted(
            [it for it in taken if it.held_s is not None and now_s - it.held_s >= SETTLED_S],
            key=lambda pair: -pair.load,
        )
        for pair, name in sorted(wishes, key=lambda wish: (-wish[0].load, wish[1])):
            why_not = refusal(name)
            if why_not:
                pair.reason = why_not
            elif free > 0:
                pair.held_s, pair.reason = now_s, f"{name} was asked for one"
                free -= 1
            else:
                pair.reason = f"{MOST} others are busier, or were before"
                if leaving > 0:  # the place will be free soon
                    leaving -= 1
                elif settled and settled[-1].load * MARGIN < pair.load:
                    settled.pop().drop("others are busier", now_s, retry_s=RETRY_S)

    def _is_wanted(self, pair: _Pair, now_s: float) -> bool:
        if now_s < pair.not_before_s:
            return False
        is_busy = pair.busy_since_s is not None and now_s - pair.busy_since_s >= BUSY_S
        if is_busy and now_s >= pair.ask_again_s:
            return True
        is_asked = pair.is_fresh(now_s) and pair.stance is Stance.HOLD
        return is_asked and pair.traffic(now_s) >= CALM_SHARE * BUSY_BYTES_S

    def stance(self, node: str, in_use: Collection[str]) -> Stance:
        """Return what to tell *node*; *in_use* as of `decide`."""
        pair = self._pairs.get(node)
        if pair is not None and pair.held_s is not None:
            return Stance.HOLD
        return Stance.LEAVING if node in in_use else Stance.NONE

    def sent(self, node: str) -> float:
        """Return what we send to *node*, bytes a second."""
        pair = self._pairs.get(node)
        return pair.sent if pair is not None else 0.0

    @property
    def partners(self) -> list[str]:
        """Whom there is something to tell: of pairs that take a place here."""
        return [name for name, pair in self._pairs.items() if pair.takes_place()]

    @property
    def shortcuts(self) -> dict[str, Shortcut]:
        """What paths should know."""
        found: dict[str, Shortcut] = {}
        for name, pair in sorted(self._pairs.items()):
            match pair.tunnel:
                case ShortcutState.CLOSING:
                    reason = f"the shortcut is being closed, {pair.reason}"
                    found[name] = Shortcut(ShortcutState.CLOSING, reason)
                case ShortcutState.OPEN:
                    found[name] = Shortcut(ShortcutState.OPEN, pair.reason)
                case _ if pair.reason:
                    found[name] = Shortcut(ShortcutState.REFUSED, pair.reason)
                case _:
                    pass
        return found
