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
from collections.abc import Callable, Mapping
from typing import NoReturn

import msgspec

from chita.compute.routes import VXLAN_DEVICE, WIREGUARD_DEVICE
from chita.dataplane.probes.sockets import EchoSockets
from chita.desired.paths import Path
from chita.fabric.health import UNPROBED, Health, Transit, Verdict
from chita.fabric.schedule import Egress, Target, targets
from chita.fabric.survey import Probe, Survey
from chita.fabric.timing import DEFAULT, Timing
from chita.model.cluster import ClusterState
from chita.telemetry.log import logger

TICK_S = 0.05
RETRY_S = 5.0
"""How soon after something unforeseen it goes on, seconds."""

_BUSY = (errno.ENOBUFS, errno.EAGAIN, errno.ENOMEM)
"""We could not send just now, which says nothing of the way."""

_LOG = logger("prober")


class Plan(msgspec.Struct, frozen=True):
    """What is probed: the cluster as decided upon, and the paths in use."""

    cluster: ClusterState
    paths: Mapping[str, Path]


class Prober:
    """Probes the ways of *node* for ever."""

    def __init__(
        self,
        node: str,
        plan: Callable[[], Plan | None],
        changed: Callable[[Health], None],
        *,
        sockets: EchoSockets,
        timing: Timing = DEFAULT,
    ) -> None:
        self._node = node
        self._plan = plan
        self._changed = changed
        self._sockets = sockets
        self._timing = timing
        self._followed: Plan | None = None
        self.survey = Survey(timing)
        self.health = UNPROBED

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
        plan = self._plan()
        last = self._followed
        if plan is None or (
            last is not None and plan.cluster is last.cluster and plan.paths is last.paths
        ):
            return
        self._followed = plan
        wanted = targets(plan.cluster, self._node, plan.paths, timing=self._timing)
        # Relays are not probed end to end yet.
        hops = {way: it for way, it in wanted.items() if not isinstance(way, Transit)}
        self.survey.follow(hops, now_s)

    def _send(self, probe: Probe, now_s: float) -> None:
        try:
            self._sockets.send(
                probe.token, probe.end, device=_device(probe.target), size_bytes=probe.size_bytes
            )
        except OSError as error:
            if error.errno in _BUSY:
                self.survey.forget(probe.token)
            else:
                self.survey.unsent(probe.token, now_s, os.strerror(error.errno or 0))

    def _tell(self, health: Health) -> None:
        for way, known in health.ways.items():
            before = self.health.of(way)
            if before.verdict is not known.verdict and Verdict.DOWN in (
                before.verdict,
                known.verdict,
            ):
                _LOG.info("way changed", way=str(way), verdict=known.verdict, why=known.reason)
        self.health = health
        self._changed(health)


def _device(target: Target) -> str:
    match target.egress:
        case Egress.WIREGUARD:
            return WIREGUARD_DEVICE
        case Egress.VXLAN:
            return VXLAN_DEVICE
        case Egress.NETWORK:
            return ""
