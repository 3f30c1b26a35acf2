"""An agent's metrics: its status as numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chita.agent.status import AgentStatus
from chita.agent.way_status import WayStatus
from chita.fabric.health import Direct, Local, Transit, Verdict, Way
from chita.telemetry.prometheus import Family, Kind, Sample


def families(status: AgentStatus) -> list[Family]:
    """Return *status* as metrics, in order."""
    return [*_agent(status), *_paths(status), *_ways(status.ways), *_peers(status)]


def _agent(status: AgentStatus) -> list[Family]:
    def one(name: str, kind: Kind, about: str, value: float) -> Family:
        return Family(f"chita_agent_{name}", kind, about, [Sample(value)])

    return [
        Family(
            "chita_agent_info",
            Kind.GAUGE,
            "Which agent this is.",
            [
                Sample(
                    1,
                    {
                        "node": status.node,
                        "location": status.location,
                        "version": status.version,
                    },
                )
            ],
        ),
        one(
            "in_sync",
            Kind.GAUGE,
            "Whether the kernel holds all that was asked for.",
            status.in_sync,
        ),
        one(
            "endpoints",
            Kind.GAUGE,
            "Local workload interfaces under policy.",
            status.endpoints,
        ),
        one("routes", Kind.GAUGE, "Routes that the kernel should hold.", status.routes),
        one("refused", Kind.GAUGE, "What the kernel refused at last.", len(status.refused)),
        one("problems", Kind.GAUGE, "Objects of which something is wrong.", len(status.problems)),
        one("syncs_total", Kind.COUNTER, "Attempts to bring the kernel in step.", status.syncs),
        one("writes_total", Kind.COUNTER, "Changes made to the kernel.", status.writes),
        one(
            "last_sync_seconds",
            Kind.GAUGE,
            "How long the last attempt took.",
            status.last_sync_ms / 1000,
        ),
        one("resident_bytes", Kind.GAUGE, "Resident memory.", status.rss_bytes),
    ]


def _paths(status: AgentStatus) -> list[Family]:
    return [
        Family(
            "chita_path_info",
            Kind.GAUGE,
            "Which way packets to a node take.",
            [
                Sample(1, {"to": path.node, "kind": path.kind, "relays": ",".join(path.relays)})
                for path in status.paths.values()
            ],
        ),
        Family(
            "chita_path_mtu_bytes",
            Kind.GAUGE,
            "The largest packet that goes to a node whole.",
            [Sample(path.mtu_bytes, {"to": path.node}) for path in status.paths.values()],
        ),
        Family(
            "chita_path_switches_total",
            Kind.COUNTER,
            "How often a way to a node was left for another.",
            [Sample(status.switch_count)],
        ),
    ]


def _ways(ways: Sequence[WayStatus]) -> list[Family]:
    def each(
        name: str, kind: Kind, about: str, value: Callable[[WayStatus], float | None]
    ) -> Family:
        samples = [
            Sample(number, way_labels(way.way))
            for way in ways
            if (number := value(way)) is not None
        ]
        return Family(f"chita_way_{name}", kind, about, samples)

    return [
        each(
            "up",
            Kind.GAUGE,
            "1: it carries packets; 0: it does not; missing: not known yet.",
            lambda way: None if way.verdict is Verdict.UNKNOWN else way.verdict is Verdict.UP,
        ),
        Family(
            "chita_way_rtt_seconds",
            Kind.GAUGE,
            "Round trips of the last minute.",
            [
                Sample(milliseconds / 1000, way_labels(way.way) | {"quantile": quantile})
                for way in ways
                for quantile, milliseconds in (("0.5", way.rtt_p50_ms), ("0.99", way.rtt_p99_ms))
                if milliseconds is not None
            ],
        ),
        each("probes_total", Kind.COUNTER, "Probes sent.", lambda way: way.sent_total),
        each("lost_total", Kind.COUNTER, "Probes not answered.", lambda way: way.lost_total),
        each(
            "mtu_bytes",
            Kind.GAUGE,
            "The largest packet that came through.",
            lambda way: way.mtu_bytes,
        ),
        each(
            "blackholes_total",
            Kind.COUNTER,
            "How often it became narrower without a word.",
            lambda way: way.blackholes,
        ),
    ]


def way_labels(way: Way) -> dict[str, str]:
    """Return what tells *way* from others."""
    match way:
        case Local(node=node):
            return {"way": "local", "to": node}
        case Direct(node=node, epoch=epoch):
            return {"way": "direct", "to": node, "epoch": str(epoch)}
        case Transit(relay=relay, location=location):
            return {"way": "transit", "to": location, "relay": relay}


def _peers(status: AgentStatus) -> list[Family]:
    return [
        Family(
            "chita_wireguard_handshake_age_seconds",
            Kind.GAUGE,
            "Since the last handshake with a node.",
            [
                Sample(peer.handshake_age_s, {"to": peer.node})
                for peer in status.peers
                if peer.handshake_age_s is not None
            ],
        ),
        Family(
            "chita_wireguard_received_bytes_total",
            Kind.COUNTER,
            "Received through the tunnel with a node.",
            [Sample(peer.received_bytes, {"to": peer.node}) for peer in status.peers],
        ),
        Family(
            "chita_wireguard_sent_bytes_total",
            Kind.COUNTER,
            "Sent through the tunnel with a node.",
            [Sample(peer.sent_bytes, {"to": peer.node}) for peer in status.peers],
        ),
    ]
