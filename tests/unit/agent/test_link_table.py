"""What is printed of a link was measured on the way that the packets take."""

from __future__ import annotations

import pytest

from chita.agent.link_table import Link, links
from chita.agent.way_status import WayStatus
from chita.desired.paths import Path, PathKind, Rung, RungState
from chita.fabric.health import Direct, Local, Transit, Verdict, Way


def measured(way: Way, location: str, rtt_ms: float, *, lost: int = 0) -> WayStatus:
    return WayStatus(
        way=way,
        location=location,
        verdict=Verdict.UP,
        reason="",
        since_s=100.0,
        every_s=1.0,
        sent=20,
        lost=lost,
        rtt_p50_ms=rtt_ms,
        rtt_p99_ms=rtt_ms * 2,
        mtu_bytes=None,
        blackholes=0,
        sent_total=20,
        lost_total=lost,
    )


WAYS = [
    measured(Local("b"), "here", 1.0),
    measured(Direct("b"), "here", 2.0),
    measured(Direct("c"), "far", 3.0, lost=5),
    measured(Direct("c", 1), "far", 4.0),
    measured(Transit("g1", "far"), "far", 5.0),
    measured(Transit("g2", "far"), "far", 6.0),
]


def one(kind: PathKind, node: str, *, epoch: int = 0, relays: tuple[str, ...] = ()) -> Link:
    used = Rung(kind=kind, state=RungState.USED, reason="", since_s=50.0)
    path = Path(
        node=node, kind=kind, reason="why", epoch=epoch, relays=relays, mtu_bytes=9, rungs=(used,)
    )
    [link] = links("a", {node: path}, WAYS)
    return link


@pytest.mark.parametrize(
    ("link", "rtt_ms"),
    [
        pytest.param(one(PathKind.VXLAN, "b"), 1.0, id="local"),
        pytest.param(one(PathKind.PRIVATE, "b"), 2.0, id="encrypted-inside"),
        pytest.param(one(PathKind.WIREGUARD, "c"), 3.0, id="direct"),
        pytest.param(one(PathKind.WIREGUARD, "c", epoch=1), 4.0, id="of-the-epoch-used"),
        pytest.param(one(PathKind.RELAYED, "c", relays=("g2", "g1")), 6.0, id="first-relay"),
        pytest.param(one(PathKind.RELAYED, "c", relays=("g9", "g1")), 5.0, id="first-measured"),
        pytest.param(one(PathKind.NONE, "c"), None, id="none"),
        pytest.param(one(PathKind.WIREGUARD, "unknown"), None, id="not-probed"),
    ],
)
def test_the_way_in_use_was_measured(link: Link, rtt_ms: float | None) -> None:
    assert rtt_ms == link.rtt_p50_ms


def test_loss_and_age() -> None:
    link = one(PathKind.WIREGUARD, "c")
    assert (25.0, 50.0, "a", "c", 9) == (
        link.loss_percent,
        link.since_s,
        link.source,
        link.destination,
        link.mtu_bytes,
    )
