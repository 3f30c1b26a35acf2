"""Answers: what the agent tells whoever asks on its socket how it is."""

from __future__ import annotations

import time
from typing import Any

import msgspec

import chita
from chita.agent.clock import ClockWatch
from chita.agent.link_exchange import LinkExchange
from chita.agent.link_table import Link, links
from chita.agent.metrics import families
from chita.agent.prober import Prober
from chita.agent.reconcile import Reconciler
from chita.agent.record import OwnRecord
from chita.agent.sessions import Sessions
from chita.agent.status import AgentStatus, WireguardPeerStatus, agent_status
from chita.agent.way_status import history, way_statuses
from chita.mirror.view import ClusterView
from chita.model.epochs import epochs_of, in_epoch
from chita.model.net import Address, Cidr
from chita.rpc.messages import (
    Answer,
    HistoryRequest,
    LinksRequest,
    MetricsRequest,
    NodeStateRequest,
    Question,
    StatusRequest,
    VersionRequest,
)
from chita.telemetry.prometheus import exposition

SESSIONS_S = 0.0
"""How old what is told of WireGuard sessions may be, seconds: a person asks now."""


class Answers:
    """Answers questions about one agent, out of its parts."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts that know something
        self,
        reconciler: Reconciler,
        view: ClusterView,
        record: OwnRecord,
        prober: Prober,
        sessions: Sessions,
        clock: ClockWatch,
    ) -> None:
        self._reconciler = reconciler
        self._view = view
        self._record = record
        self._prober = prober
        self._sessions = sessions
        self._clock = clock
        self.links = LinkExchange(reconciler.node, lambda: reconciler.cluster, self._own_links)
        """What asks and tells other agents; somebody must run it."""

    async def of(self, question: Question) -> Answer:
        """Return what is asked."""
        match question:
            case StatusRequest():
                return Answer(msgspec.to_builtins(await self._status(), enc_hook=text_of))
            case NodeStateRequest():
                state = self._reconciler.state
                return Answer(msgspec.to_builtins(state, enc_hook=text_of, str_keys=True))
            case HistoryRequest():
                told = history(self._prober, time.monotonic(), time.time())
                return Answer(msgspec.to_builtins(told))
            case MetricsRequest():
                return Answer(exposition(families(await self._status())))
            case LinksRequest():
                found, silent = await self.links.everywhere()
                return Answer({"links": msgspec.to_builtins(found), "silent": silent})
            case VersionRequest():
                return Answer(chita.__version__)

    def _own_links(self) -> list[Link]:
        state = self._reconciler.state
        ways = way_statuses(self._prober, time.monotonic(), time.time())
        return links(self._reconciler.node, state.paths if state is not None else {}, ways)

    async def _status(self) -> AgentStatus:
        status = agent_status(
            self._reconciler,
            self._view,
            version=chita.__version__,
            facts=self._record.known(self._reconciler.cluster),
            own_problems={"clock": self._clock.problem} if self._clock.problem else {},
            peers=await self._peers(),
        )
        timeline = self._prober.timeline
        return msgspec.structs.replace(
            status,
            ways=way_statuses(self._prober, time.monotonic(), time.time()),
            switches=timeline.last,
            switch_count=timeline.switch_count,
        )

    async def _peers(self) -> list[WireguardPeerStatus]:
        names = {
            in_epoch(node, epoch).wireguard_key: node.name
            for node in self._reconciler.cluster.fabric_nodes.values()
            for epoch in epochs_of(node)
        }
        peers = self._reconciler.cluster.static_peers.values()
        names |= {peer.public_key: f"StaticPeer {peer.name}" for peer in peers}
        now_s = time.time()
        return [
            WireguardPeerStatus(
                node=names.get(key, key),
                handshake_age_s=round(now_s - peer.handshake_s, 1) if peer.handshake_s else None,
                received_bytes=peer.received_bytes,
                sent_bytes=peer.sent_bytes,
            )
            for key, peer in (await self._sessions.peers(max_age_s=SESSIONS_S)).items()
        ]


def text_of(value: Any) -> str:
    """Return an address or network as text: what msgspec can't encode by itself.

    Raises:
        NotImplementedError: it is something else.
    """
    if isinstance(value, Address | Cidr):
        return str(value)
    raise NotImplementedError(f"no JSON form of {type(value).__name__}")
