"""Prober: sends what the survey of ways asks for, and tells of a new Health.

A tick twenty times a second reads what arrived, gives up what is overdue, and sends what is due, in
this order: an answer that was there while the event loop was busy is no loss. Arrivals carry the
kernel's time, so nothing has to wake us for them.
"""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Callable
from typing import NoReturn

import msgspec

from chita.compute.routes import VXLAN_DEVICE
from chita.dataplane.probes.sockets import EchoSockets, Wrapping
from chita.desired.node_state import NodeState
from chita.fabric.health import UNPROBED, Direct, Health, Local, Transit, Verdict, Way
from chita.fabric.schedule import Egress, Target, Use, targets
from chita.fabric.survey import Survey
from chita.fabric.timeline import Timeline
from chita.fabric.timing import DEFAULT, Timing
from chita.fabric.watched import Probe
from chita.model.cluster import ClusterState
from chita.model.net import Address
from chita.telemetry.log import logger

TICK_S = 0.05
RETRY_S = 5.0
"""How soon after something unforeseen it goes on, seconds."""

_BUSY = (errno.ENOBUFS, errno.EAGAIN, errno.ENOMEM)
"""We could not send just now, which says nothing of the way."""

_LOG = logger("prober")


class Plan(msgspec.Struct, frozen=True):
    """What is probed: the cluster as decided upon, and what the kernel was made to hold for it."""

    cluster: ClusterState
    state: NodeState


class Prober:
    """Probes the ways of *node* for ever."""

    def __init__(  # noqa: PLR0913 - the collaborators of the one place that composes them
        self,
        node: str,
        plan: Callable[[], Plan | None],
        changed: Callable[[Health], None],
        *,
        sockets: EchoSockets,
        timing: Timing = DEFAULT,
        remembered: Health = UNPROBED,
    ) -> None:
        self._node = node
        self._plan = plan
        self._changed = changed
        self._sockets = sockets
        self._timing = timing
        self._followed: Plan | None = None
        self._devices: dict[tuple[str, int], str] = {}
        """The WireGuard device that has a session with a node, in each epoch of the keys."""
        self.survey = Survey(timing, remembered)
        self.busy: frozenset[str] = frozenset()
        """Nodes with traffic, as far as somebody looks."""
        self._followed_busy = self.busy
        self.health = remembered
        self.timeline = Timeline()

    @property
    def is_stretched(self) -> bool:
        """Whether there is too much to probe to do it as often as one would."""
        ways = self.survey.ways.values()
        used_s = self._timing.used_s
        return any(it.target.use is Use.USED and it.target.every_s > used_s for it in ways)

    async def run(self) -> NoReturn:
        """Probe for ever, whatever happens."""
        while True:
            try:
                self._sockets.open()
                while True:
                    self.tick()
                    await asyncio.sleep(TICK_S)
            except Exception as error:  # noqa: BLE001 - see docs/design/prober.md: paths stay as they are
                _LOG.exception("probing failed", why=str(error))
            finally:
                self._sockets.close()
            await asyncio.sleep(RETRY_S)

    def tick(self) -> None:
        """Read, give up, send; then say what changed."""
        now_s = time.monotonic()
        self._follow(now_s)
        survey = self.survey
        for answer in self._sockets.answers():
            survey.answered(answer.token, now_s, answer.rtt_s)
        survey.expire(now_s)
        for probe in survey.due(now_s):
            self._send(probe, now_s)
        health = survey.health(now_s, time.time())
        if health is not self.health:
            self._tell(health)

    def _follow(self, now_s: float) -> None:
        plan, last = self._plan(), self._followed
        if plan is None:
            return
        if last is not None and plan.state is last.state and self.busy == self._followed_busy:
            return
        self._followed = plan
        if last is not None and self.busy == self._followed_busy and _is_same(plan, last):
            return
        self._followed_busy = self.busy
        if last is not None:
            for switch in self.timeline.switch(last.state.paths, plan.state.paths, time.time()):
                _LOG.info(
                    "path switched",
                    to=switch.node,
                    before=switch.before,
                    after=switch.after,
                    why=switch.reason,
                )
        self._devices = {
            (peer.node, device.epoch): device.device
            for device in plan.state.wireguards.values()
            for peer in device.peers.values()
        }
        wanted = targets(
            plan.cluster, self._node, plan.state.paths, timing=self._timing, busy=self.busy
        )
        self.survey.follow(wanted, now_s)

    def _send(self, probe: Probe, now_s: float) -> None:
        target = probe.target
        try:
            if target.via is None:
                device = self._device(target)
                self._sockets.send(
                    probe.token, probe.end, device=device, size_bytes=probe.size_bytes
                )
            else:
                self._send_to_relay(probe, target.via)
        except OSError as error:
            self._refused(probe, error, now_s)

    def _send_to_relay(self, probe: Probe, relay: Address) -> None:
        plan = self._followed
        transit = plan.state.transit if plan is not None else None
        source = plan.cluster.nodes[self._node].mesh(probe.end.family) if plan is not None else None
        if transit is None or source is None:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        how = Wrapping(relay=relay, source=source, port=transit.port, vni=transit.vni)
        self._sockets.send_wrapped(
            probe.token,
            probe.end,
            how,
            device=self._device(probe.target),
            size_bytes=probe.size_bytes,
        )

    def _refused(self, probe: Probe, error: OSError, now_s: float) -> None:
        if error.errno in _BUSY:
            self.survey.forget(probe.token)
        elif error.errno == errno.EMSGSIZE:
            self.survey.too_large(probe.token, now_s)
        else:
            self.survey.unsent(probe.token, now_s, os.strerror(error.errno or 0))

    def _device(self, target: Target) -> str:
        """Return what the probe is bound to; empty: where the routes in force lead.

        Raises:
            OSError: there is no session with that node, on any device.
        """
        match target.egress:
            case Egress.WIREGUARD:
                device = self._devices.get((_first_hop(target.way), target.epoch))
                if device is None:
                    raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
                return device
            case Egress.VXLAN:
                return VXLAN_DEVICE
            case Egress.NETWORK:
                return target.device

    def _tell(self, health: Health) -> None:
        for turn in self.timeline.turn(self.health, health, time.time()):
            if Verdict.DOWN in (turn.verdict, self.health.of(turn.way).verdict):
                _LOG.info("way changed", way=str(turn.way), verdict=turn.verdict, why=turn.reason)
        self.health = health
        self._changed(health)


def _is_same(plan: Plan, last: Plan) -> bool:
    """Whether the same is to be probed: most changes are of pods."""
    return (
        plan.cluster.nodes == last.cluster.nodes
        and plan.cluster.fabric_nodes == last.cluster.fabric_nodes
        and plan.state.wireguards == last.state.wireguards
        and plan.state.paths == last.state.paths
    )


def _first_hop(way: Way) -> str:
    match way:
        case Local(node=node) | Direct(node=node):
            return node
        case Transit(relay=relay):
            return relay
