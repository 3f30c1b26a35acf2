"""What an agent says of the ways it probes: now, and in the last hour."""

from __future__ import annotations

import msgspec

from chita.agent.prober import Prober
from chita.fabric.health import Direct, Local, Transit, Verdict, Way
from chita.fabric.timeline import Switch, Turn
from chita.fabric.watched import Watched


class WayStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A way as its probes show it."""

    way: Way
    location: str
    """Where it leads."""
    verdict: Verdict
    reason: str
    since_s: float
    """When the verdict became this one, seconds since the epoch."""
    every_s: float
    """How often it is probed."""
    sent: int
    """Probes of the last minute."""
    lost: int
    rtt_p50_ms: float | None
    """Round trips of the last minute; None: nothing was answered."""
    rtt_p99_ms: float | None
    mtu_bytes: int | None
    """The largest packet that came through; None: none was tried yet."""
    blackholes: int
    """How often it became narrower without a word."""
    sent_total: int
    lost_total: int


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """Ten seconds of a way."""

    start_s: float
    """Seconds since the epoch."""
    sent: int
    lost: int
    mean_ms: float | None
    worst_ms: float | None


class WayHistory(msgspec.Struct, frozen=True):
    """A way in the last hour."""

    way: Way
    steps: list[Step]


class History(msgspec.Struct, frozen=True, kw_only=True):
    """The last hour, and what changed: as long ago as it is remembered."""

    ways: list[WayHistory]
    turns: list[Turn]
    switches: list[Switch]


def way_statuses(prober: Prober, now_s: float, wall_s: float) -> list[WayStatus]:
    """Return each way as it is, in order.

    Args:
        prober: whose ways.
        now_s: now, by the monotonic clock.
        wall_s: now, seconds since the epoch.
    """
    ways = prober.survey.ways
    return [_status(ways[way], now_s, wall_s) for way in sorted(ways, key=_order)]


def history(prober: Prober, now_s: float, wall_s: float) -> History:
    """Return the last hour; the arguments as of `way_statuses`."""
    ways = prober.survey.ways
    return History(
        ways=[
            WayHistory(
                way,
                [
                    Step(
                        start_s=round(wall_s - (now_s - step.start_s), 1),
                        sent=step.sent,
                        lost=step.lost,
                        mean_ms=_ms(step.mean_s),
                        worst_ms=_ms(step.worst_s),
                    )
                    for step in ways[way].samples.steps(now_s)
                ],
            )
            for way in sorted(ways, key=_order)
        ],
        turns=list(prober.timeline.turns),
        switches=list(prober.timeline.switches),
    )


def _status(watched: Watched, now_s: float, wall_s: float) -> WayStatus:
    target, trial = watched.target, watched.trial
    recent = watched.samples.recent(now_s)
    return WayStatus(
        way=target.way,
        location=target.location,
        verdict=trial.verdict,
        reason=trial.reason,
        since_s=round(wall_s - (now_s - trial.since_s), 3),
        every_s=target.every_s,
        sent=recent.sent,
        lost=recent.lost,
        rtt_p50_ms=_ms(recent.p50_s),
        rtt_p99_ms=_ms(recent.p99_s),
        mtu_bytes=watched.size.mtu_bytes,
        blackholes=watched.size.blackholes,
        sent_total=watched.samples.sent,
        lost_total=watched.samples.lost,
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _order(way: Way) -> tuple[int, str, str]:
    match way:
        case Local(node=node):
            return 0, node, ""
        case Direct(node=node, epoch=epoch):
            return 1, node, str(epoch)
        case Transit(relay=relay, location=location):
            return 2, location, relay
