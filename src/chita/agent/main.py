"""``chita agent``: composes the parts of a node and runs them in one TaskGroup."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import chita
from chita.agent import memory
from chita.agent.answers import Answers
from chita.agent.appliers import NodeApplier
from chita.agent.attachments import Attachments
from chita.agent.clock import ClockWatch
from chita.agent.cni_server import CniService, CniSettings
from chita.agent.connections import Connections
from chita.agent.detours import Detours
from chita.agent.discovery import keep_discovered
from chita.agent.healing import keep_healed, keep_ruleset_healed, keep_ruleset_verified
from chita.agent.health_file import keep_remembered, remembered
from chita.agent.identity import api_config
from chita.agent.key_ring import KeyRing
from chita.agent.lifeline import server_port
from chita.agent.pod_links import PodLinks
from chita.agent.pods import PodEndpoints, PodKnowledge, PodReport
from chita.agent.prober import Plan, Prober
from chita.agent.questions import Questions
from chita.agent.reconcile import Reconciler
from chita.agent.record import OwnRecord
from chita.agent.reflection import keep_judged
from chita.agent.renewal import keep_renewed
from chita.agent.resolution import keep_resolved
from chita.agent.sessions import Sessions, keep_knocking
from chita.agent.settings import AgentSettings
from chita.agent.shortcuts import Shortcuts, standing
from chita.agent.sources import follow_all
from chita.agent.traffic import keep_traffic_known
from chita.agent.turnover import keep_turned_over
from chita.agent.whereabouts import Whereabouts
from chita.api.client import ApiClient
from chita.api.kinds import WATCHED
from chita.api.refusals import UNTRUSTED
from chita.api.tls import use_small_buffers
from chita.cloud.facts import CloudFacts
from chita.cloud.provider import discover
from chita.dataplane.conntrack import Conntrack, open_conntrack
from chita.dataplane.netlink.links import Links
from chita.dataplane.netlink.monitor import Monitor
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.dataplane.nftables.monitor import Monitor as NftMonitor
from chita.dataplane.pod_interface import PodInterfaces
from chita.dataplane.probes.sockets import EchoSockets
from chita.errors import ApiError, ChitaError
from chita.fabric.mtu import vxlan_mtu
from chita.ipam.allocator import Allocator
from chita.mirror.block_store import ApiBlockStore
from chita.mirror.view import ClusterView
from chita.model.cluster import ClusterState
from chita.rpc.messages import (
    CniRequest,
    Reply,
    Request,
)
from chita.rpc.server import serving
from chita.telemetry.log import logger

SETTLE_S = 30.0
"""How often what CNI calls left half done is tried again, seconds."""

JOIN_RETRY_S = 1.0
HEALTH_FILE = "health.json"

_LOG = logger("agent")


async def run(settings: AgentSettings) -> None:
    """Run the agent until SIGTERM; the kernel keeps what it was given.

    Raises:
        InputError: nothing says which server to join, or with what.
        UnsupportedError: the kernel lacks what policy needs.
    """
    use_small_buffers()
    settings.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    keys = KeyRing(settings.node, settings.state_dir, settings.preshared_key_file)
    if keys.is_preshared_pending:
        _LOG.warning("the pre-shared key is another: it counts from the next change of keys on")
    # At once with joining, and before the first record: one without the public address would make
    # others turn away from this node for a moment.
    discovery = asyncio.create_task(discover(), name="discovery")
    try:
        config = await _joined(settings)
        discovered = await discovery
    finally:
        discovery.cancel()
    async with ApiClient(config) as client:
        agent = Agent(settings, keys, client, discovered)
        await agent.run()


async def _joined(settings: AgentSettings) -> Any:
    """Return the credentials, trying again while the server does not answer."""
    while True:
        try:
            return await api_config(settings)
        except ApiError as error:
            if error.status or error.reason == UNTRUSTED:
                raise
            _LOG.warning("server does not answer yet", why=str(error))
            await asyncio.sleep(JOIN_RETRY_S)


class _StoppedError(Exception):
    """The agent was told to stop."""


class Agent:
    """One node's parts, and what its socket answers."""

    def __init__(
        self,
        settings: AgentSettings,
        keys: KeyRing,
        client: ApiClient,
        discovered: CloudFacts,
    ) -> None:
        self._settings = settings
        self._client = client
        self._view = ClusterView(settings.node, WATCHED)
        self._record = OwnRecord(settings.node, keys.identity, Links(NetlinkSocket()), discovered)
        self._kernel = ThreadPoolExecutor(1, "kernel")
        # Three sockets, one a thread: taking a pod's device away makes the kernel wait, and neither
        # an ADD nor a sync should wait for that.
        sockets = [NetlinkSocket() for _ in range(3)]
        own_ports = {socket.port for socket in sockets}
        self._monitor = Monitor(own_ports=lambda: own_ports)
        self._connections = Connections(Conntrack(open_conntrack(sockets[0])))
        self._applier = NodeApplier(sockets[0], self._connections, settings.run_dir, keys.secrets)
        self._ruleset_monitor = NftMonitor(own_ports={self._applier.nft_port})
        self._pod_links = PodLinks(PodInterfaces(sockets[1]), PodInterfaces(sockets[2]))
        self._reconciler = Reconciler(
            self._view,
            self._applier,
            record=self._record.of,
            node=settings.node,
            kernel=self._kernel,
            resync_s=settings.resync_s,
            retry_s=settings.retry_s,
            server=server_port(client.config.server),
        )
        sessions = self._sessions = Sessions(self._applier.wireguards, self._kernel)
        self._questions = Questions(settings.node, self._known, sessions)
        known_health = remembered(settings.run_dir / HEALTH_FILE)
        self._reconciler.heed(known_health)
        self._whereabouts = Whereabouts(sessions, self._known, self._reconciler.heed, known_health)
        self._prober = Prober(
            settings.node,
            self._probed,
            self._whereabouts.changed,
            sockets=EchoSockets(),
            remembered=known_health,
        )
        self._cni: CniService | None = None
        self._keys = keys
        self._detours = Detours(
            self._record,
            settings.run_dir,
            self._known,
            lambda: self._reconciler.health,
            self._reconciler.detour,
        )
        left = standing(known_health)
        self._reconciler.shorten(left)
        self._shortcuts = Shortcuts(
            settings.node,
            self._known,
            lambda: self._reconciler.state,
            lambda: self._reconciler.health,
            self._questions,
            kernel=self._kernel,
            changed=self._reconciler.shorten,
            left=left,
        )
        self._clock = ClockWatch(settings.state_dir / "clock")
        self._answers = Answers(
            self._reconciler, self._view, self._record, self._prober, sessions, self._clock
        )

    async def run(self) -> None:
        """Run every part until SIGTERM or SIGINT, or until one fails.

        Raises:
            InputError: the socket cannot be made.
        """
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        try:
            async with asyncio.TaskGroup() as tasks:
                self._start(tasks)
                async with serving(self._settings.socket, self._answer):
                    _LOG.info("agent ready", node=self._settings.node, version=chita.__version__)
                    await _raise_when(stop)
        except BaseExceptionGroup as group:
            _raise_failure(group)
            _LOG.info("agent stopped")
        finally:
            self._monitor.close()
            self._ruleset_monitor.close()
            self._connections.close()
            await self._pod_links.close()
            # What is being applied is finished: the kernel is left in one state, not between two.
            self._kernel.shutdown()

    def _start(self, tasks: asyncio.TaskGroup) -> None:
        reconciler = self._reconciler
        self._cni = self._cni_service(tasks)
        parts: dict[str, Coroutine[Any, Any, None]] = {
            "sources": follow_all(self._client, WATCHED, reconciler.queue),
            "accept": reconciler.accept(),
            "reconcile": reconciler.run(),
            "record": self._record.publish(self._client),
            "settle": self._settle(),
            "discovery": keep_discovered(self._record, discover, reconciler.recheck),
            "memory": self._settle_memory(),
            "healing": keep_healed(self._monitor, reconciler, self._record),
            "prober": self._prober.run(),
            "traffic": keep_traffic_known(self._prober, self._sessions, self._known),
            "whereabouts": self._whereabouts.run(),
            "knocks": keep_knocking(self._applier.knock, self._kernel),
            "questions": self._questions.run(),
            "reflection": keep_judged(
                self._record, self._known, self._questions, reconciler.reconsider
            ),
            "keys": keep_turned_over(
                self._keys,
                self._settings.node,
                self._known,
                lambda: reconciler.health,
                reconciler.reconsider,
            ),
            "detours": self._detours.run(),
            "shortcuts": self._shortcuts.run(),
            "links": self._answers.links.run(),
            "clock": self._clock.run(),
            "health file": keep_remembered(
                self._settings.run_dir / HEALTH_FILE, lambda: self._prober.health
            ),
            "resolution": keep_resolved(self._record, self._known, reconciler.reconsider),
            "ruleset healing": keep_ruleset_healed(self._ruleset_monitor, reconciler),
            "ruleset verification": keep_ruleset_verified(
                self._applier.verify_some, reconciler, self._kernel
            ),
        }
        if self._settings.kubeconfig is None:
            parts["renewal"] = keep_renewed(self._settings, self._client)
        for name, part in parts.items():
            tasks.create_task(part, name=name)

    def _cni_service(self, tasks: asyncio.TaskGroup) -> CniService:
        settings = self._settings
        attachments = Attachments(settings.state_dir / "attachments")
        how = PodReport.STATUS if settings.kubeconfig is None else PodReport.ANNOTATIONS
        endpoints = PodEndpoints(
            settings.node,
            view=self._view,
            reconciler=self._reconciler,
            client=self._client,
            how=how,
            tasks=tasks,
        )
        endpoints.restore(attachments)
        return CniService(
            CniSettings(node=settings.node),
            attachments=attachments,
            addresses=Allocator(ApiBlockStore(self._client), settings.node),
            cluster=PodKnowledge(
                settings.node, self._view, self._reconciler, self._client, self._pod_mtu_bytes
            ),
            endpoints=endpoints,
            links=self._pod_links,
        )

    def _pod_mtu_bytes(self) -> int:
        """Return the largest packet that stays whole inside this node's location."""
        if self._settings.pod_mtu_bytes is not None:
            return self._settings.pod_mtu_bytes
        record = self._record.value
        wire = record.wire_mtu_bytes if record else self._record.interface_mtu_bytes
        interfaces = record.interfaces if record else self._record.interfaces
        outer = interfaces[0].address.family
        return vxlan_mtu(wire, outer_family=outer)

    def _known(self) -> ClusterState:
        """Return the cluster as it was last decided upon."""
        return self._reconciler.cluster

    def _probed(self) -> Plan | None:
        """Return what there is to probe: nothing before the kernel holds the ways to it."""
        state = self._reconciler.state
        return Plan(self._reconciler.cluster, state) if state is not None else None

    async def _settle_memory(self) -> None:
        """Let the first sync fill memory, then tidy up."""
        memory.fill()
        await self._reconciler.first_sync()
        memory.settle()

    async def _settle(self) -> None:
        """Finish what earlier CNI calls left half done, now and then."""
        while True:
            if self._view.in_sync and self._cni is not None:
                try:
                    await self._cni.settle()
                except ChitaError as error:
                    _LOG.warning("not settled", why=str(error))
            await asyncio.sleep(SETTLE_S)

    async def _answer(self, request: Request) -> Reply:
        if isinstance(request, CniRequest):
            assert self._cni is not None
            return await self._cni.answer(request)
        return await self._answers.of(request)


async def _raise_when(stop: asyncio.Event) -> NoReturn:
    """End every task of the group once told to, also reports to an API that does not answer.

    Raises:
        _StoppedError: always.
    """
    await stop.wait()
    raise _StoppedError


def _raise_failure(group: BaseExceptionGroup[BaseException]) -> None:
    """Raise what of *group* is no order to stop; what a user can mend comes alone, for its text."""
    _, failures = group.split(_StoppedError)
    if failures is None:
        return
    first = failures.exceptions[0]
    raise first if len(failures.exceptions) == 1 and isinstance(first, ChitaError) else failures
