"""What an agent tells of its ways: as they are, over an hour, and as metrics."""

from __future__ import annotations

import msgspec

from chita.agent.metrics import families, way_labels
from chita.agent.prober import Prober
from chita.agent.status import AgentStatus
from chita.agent.way_status import history, way_statuses
from chita.cloud.facts import NOTHING
from chita.dataplane.probes.sockets import EchoSockets
from chita.desired.paths import Path, PathKind
from chita.fabric.health import Direct, Local, Transit, Verdict, Way
from chita.fabric.schedule import Egress, Target, Use
from chita.model.net import Address
from chita.telemetry.prometheus import exposition

WALL_S = 1_800_000_000.0
START_S = 5000.0


def target(way: Way) -> Target:
    return Target(
        way=way,
        location="there",
        ends=(Address.parse("100.64.0.2"),),
        via=Address.parse("100.64.0.9") if isinstance(way, Transit) else None,
        egress=Egress.WIREGUARD,
        use=Use.USED,
        every_s=1.0,
        size_every_s=1e6,
        mtu_bytes=1440,
    )


def probed() -> Prober:
    """Return a prober of three ways: two answer after 5 ms, the neighbour never does."""
    prober = Prober("n1", lambda: None, lambda _: None, sockets=EchoSockets())
    ways: list[Way] = [Transit("g1", "there"), Direct("n2"), Local("n3")]
    prober.survey.follow({way: target(way) for way in ways}, START_S)
    for tick in range(300):
        now_s = START_S + tick / 10
        prober.survey.expire(now_s)
        for probe in prober.survey.due(now_s):
            if not isinstance(probe.target.way, Local):
                prober.survey.answered(probe.token, now_s, 0.005)
    return prober


def test_ways_as_they_are() -> None:
    prober = probed()
    local, direct, transit = way_statuses(prober, START_S + 30, WALL_S)

    assert [Local("n3"), Direct("n2"), Transit("g1", "there")] == [
        it.way for it in (local, direct, transit)
    ]
    assert (Verdict.DOWN, None, None) == (local.verdict, local.rtt_p50_ms, local.mtu_bytes)
    assert (Verdict.UP, 5.0, 5.0, 0) == (
        direct.verdict,
        direct.rtt_p50_ms,
        direct.rtt_p99_ms,
        direct.lost,
    )
    assert local.lost == local.sent == local.lost_total
    assert direct.mtu_bytes == transit.mtu_bytes == 1440
    assert WALL_S - 31 < direct.since_s < WALL_S - 28


def test_an_hour() -> None:
    """Ten seconds a step, by the wall clock."""
    told = history(probed(), START_S + 30, WALL_S)
    _, direct, _ = told.ways

    assert [WALL_S - 30, WALL_S - 20, WALL_S - 10] == [step.start_s for step in direct.steps]
    assert {5.0} == {step.mean_ms for step in direct.steps}
    assert msgspec.json.decode(msgspec.json.encode(told))["ways"][1]["way"] == {
        "type": "Direct",
        "node": "n2",
        "epoch": 0,
    }


def test_metrics() -> None:
    """Each way has labels of its own; what is not known is left out."""
    status = AgentStatus(
        node="n1",
        version="1",
        in_sync=True,
        location="here",
        facts=NOTHING,
        endpoints=1,
        workloads=2,
        policies=3,
        routes=4,
        paths={"n2": Path(node="n2", kind=PathKind.WIREGUARD, reason="dialled", mtu_bytes=1440)},
        ways=way_statuses(probed(), START_S + 30, WALL_S),
        peers=[],
        refused={},
        problems={},
        fabric_problems=[],
        interrupted={},
        syncs=1,
        writes=2,
        last_sync_ms=3.0,
        rss_bytes=4,
    )
    lines = exposition(families(status)).splitlines()

    assert 'chita_way_up{way="local",to="n3"} 0' in lines
    assert 'chita_way_up{way="direct",to="n2",epoch="0"} 1' in lines
    assert (
        'chita_way_rtt_seconds{way="transit",to="there",relay="g1",quantile="0.5"} 0.005' in lines
    )
    assert 'chita_path_info{to="n2",kind="wireguard",relays=""} 1' in lines
    assert not any(line.startswith('chita_way_mtu_bytes{way="local"') for line in lines)
    assert len(set(lines)) == len(lines)
    assert {"way": "direct", "to": "n2", "epoch": "1"} == way_labels(Direct("n2", 1))
