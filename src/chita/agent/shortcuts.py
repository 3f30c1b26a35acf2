"""The agent's shortcuts: counts what it sends to each node, and agrees with those it is busy with.

In large fabrics, at ordinary nodes. Elsewhere nothing is counted, told or kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from typing import NoReturn

from chita.agent.greetings import Greetings
from chita.agent.questions import Questions
from chita.compute.nexthops import TUNNELLED
from chita.compute.routes import Networks, node_networks
from chita.dataplane.nftables.traffic import Counting, TrafficTable
from chita.desired.node_state import NodeState
from chita.desired.paths import Path
from chita.desired.tunnels import TRANSIT_DEVICE
from chita.errors import ChitaError
from chita.fabric.health import Direct, Health, Shortcut, ShortcutState, Verdict
from chita.fabric.loads import Loads, Places
from chita.fabric.mesh import FULL, Mesh, mesh
from chita.fabric.offers import Refusal, tunnel_offers
from chita.fabric.questions import Greeting, Stance
from chita.fabric.shortcuts import Pairs
from chita.model.cluster import ClusterState
from chita.model.net import Address, Family
from chita.telemetry.log import logger

LOOK_S = 1.0
"""How often the counters are read."""
GREET_S = 2.0
"""How often those are told that we have, or want, a shortcut with."""

_LOG = logger("shortcuts")


def standing(remembered: Health) -> dict[str, Shortcut]:
    """Return the shortcuts that an earlier agent may have left, by what its probes found out.

    Which of these nodes are in need of one the records say, when they are there.
    """
    reason = "the shortcut is being closed, the agent was restarted"
    return {
        way.node: Shortcut(ShortcutState.CLOSING, reason)
        for way in remembered.ways
        if isinstance(way, Direct)
    }


class Shortcuts:
    """One node's part in its shortcuts."""

    def __init__(  # noqa: PLR0913 - the parts that it stands between
        self,
        node: str,
        known: Callable[[], ClusterState],
        state: Callable[[], NodeState | None],
        health: Callable[[], Health],
        questions: Questions,
        *,
        kernel: Executor,
        changed: Callable[[Mapping[str, Shortcut]], None],
        left: Mapping[str, Shortcut],
    ) -> None:
        """Take what an earlier agent *left*; *changed* is told of what comes."""
        self._node = node
        self._known = known
        self._state = state
        self._health = health
        self._questions = questions
        self._kernel = kernel
        self._changed = changed
        self._told: Mapping[str, Shortcut] = left
        self._pairs: Pairs | None = None
        """None: the fabric is small, or we are no ordinary node, or it is not known yet."""
        self._greetings = Greetings()
        self._stances: dict[str, Stance] = {}
        """What was told each node last, while it is not NONE."""
        self._table: TrafficTable | None = None
        self._counting: Counting | None = None
        self._is_clean = False
        """Whether nothing of ours counts in the kernel."""
        self._loads = Loads()
        self._places: tuple[Networks, Places] | None = None

    async def run(self) -> NoReturn:
        """Count, decide and agree, for ever."""
        loop = asyncio.get_running_loop()
        look_s = greet_s = loop.time()
        while True:
            answer = await self._hear(look_s)
            state, now_s = self._state(), loop.time()
            if state is None:
                look_s = now_s + LOOK_S
                continue
            cluster = self._known()
            meshed = self._meshed(cluster)
            if now_s >= look_s:
                look_s = now_s + LOOK_S
                try:
                    await self._look(cluster, meshed)
                except ChitaError as error:
                    _LOG.warning("traffic not counted", why=str(error))
            if self._pairs is None:
                continue
            paths = state.paths
            self._decide(cluster, meshed, paths, now_s)
            if now_s >= greet_s:
                greet_s = now_s + GREET_S
                answer |= {*self._pairs.partners, *self._stances}
            self._greet(answer, paths)

    async def _hear(self, until_s: float) -> set[str]:
        """Return whom to answer: as soon as somebody greets, at *until_s* at the latest."""
        answer: set[str] = set()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until_s):
                answer |= self._take(*await self._questions.greetings.get())
        while not self._questions.greetings.empty():
            answer |= self._take(*self._questions.greetings.get_nowait())
        return answer

    def _take(self, node: str, greeting: Greeting) -> set[str]:
        if self._pairs is None:
            return set()
        taken = self._greetings.take(node, greeting)
        if taken.is_believed:
            now_s = asyncio.get_running_loop().time()
            self._pairs.hear(node, greeting.stance, greeting.sent_bytes_s, now_s)
        is_alone = greeting.stance is not Stance.NONE and node not in self._stances
        return {node} if taken.needs_answer or is_alone else set()

    def _meshed(self, cluster: ClusterState) -> Mesh:
        """Return who meets whom, and begin or end with it."""
        meshed = mesh(cluster) if self._node in cluster.fabric_nodes else FULL
        if meshed is FULL:
            if self._told:
                self._tell({})
            self._pairs, self._stances = None, {}
        elif self._pairs is None:
            self._pairs = Pairs(self._told, asyncio.get_running_loop().time())
        return meshed

    async def _look(self, cluster: ClusterState, meshed: Mesh) -> None:
        """Read the counters; nothing is there where nobody would need them.

        Raises:
            KernelError: the kernel does not count, or does not tell.
        """
        loop = asyncio.get_running_loop()
        here = cluster.fabric_nodes.get(self._node)
        if self._pairs is None or here is None or not meshed.is_ordinary(here):
            if not self._is_clean:
                await loop.run_in_executor(self._kernel, self._clean)
            return
        networks = node_networks(cluster)
        if self._places is None or self._places[0] is not networks:
            self._places = networks, Places(networks)
        counting = _counting(cluster)
        counters = await loop.run_in_executor(self._kernel, self._read, counting)
        if counters is None:
            self._loads.restart()
            counters = {}
        now_s = loop.time()
        rates = self._loads.rates(counters, self._places[1], now_s)
        rates.pop(self._node, None)
        apart = {
            name: rate
            for name, rate in rates.items()
            if name in cluster.fabric_nodes and meshed.refused(here, cluster.fabric_nodes[name])
        }
        if self._pairs is not None:
            self._pairs.measure(apart, now_s)

    def _read(self, counting: Counting) -> Mapping[Address, int] | None:
        """Return what was counted; None: counting begins now. Blocking, for a millisecond."""
        self._is_clean = False
        if self._table is None:
            self._table = TrafficTable()
        counters = self._table.read() if counting == self._counting else None
        if counters is None:
            self._counting = None
            self._table.replace(counting)
            self._counting = counting
        return counters

    def _clean(self) -> None:
        table = self._table or TrafficTable()
        try:
            table.remove()
        finally:
            table.close()
            self._table, self._counting = None, None
        self._is_clean = True

    def _decide(
        self, cluster: ClusterState, meshed: Mesh, paths: Mapping[str, Path], now_s: float
    ) -> None:
        assert self._pairs is not None
        here = cluster.fabric_nodes[self._node]

        def refusal(name: str) -> str | None:
            there = cluster.fabric_nodes.get(name)
            if there is None or not meshed.refused(here, there):
                return None
            return _why_none(cluster, self._node, name)

        health = self._health()
        silent = {
            way.node
            for way, known in health.ways.items()
            if isinstance(way, Direct) and known.verdict is Verdict.DOWN
        }
        self._pairs.decide(now_s, refusal=refusal, in_use=_in_use(paths), silent=silent)
        found = self._pairs.shortcuts
        if found != self._told:
            self._tell(found)

    def _tell(self, found: Mapping[str, Shortcut]) -> None:
        for name in sorted(found.keys() | self._told.keys()):
            now, before = found.get(name), self._told.get(name)
            if now != before:
                _LOG.info(
                    "shortcut",
                    to=name,
                    state=now.state.value if now is not None else "none",
                    why=now.reason if now is not None else "",
                )
        self._told = found
        self._changed(found)

    def _greet(self, answer: Iterable[str], paths: Mapping[str, Path]) -> None:
        """Tell those to *answer*, and whoever does not know yet what we do."""
        assert self._pairs is not None
        in_use = _in_use(paths)
        whom = {*answer, *self._pairs.partners, *self._stances}
        answered = set(answer)
        for name in sorted(whom):
            stance = self._pairs.stance(name, in_use)
            if name in answered or stance is not self._stances.get(name, Stance.NONE):
                sent = self._pairs.sent(name)
                self._questions.greet(name, self._greetings.make(name, stance, sent))
            if stance is Stance.NONE:
                self._stances.pop(name, None)
            else:
                self._stances[name] = stance


def _in_use(paths: Mapping[str, Path]) -> set[str]:
    """Return the nodes that we send to by our own tunnel with them."""
    return {name for name, path in paths.items() if path.kind in TUNNELLED}


def _why_none(cluster: ClusterState, here: str, there: str) -> str:
    """Return why no tunnel can stand between two; empty: one can, by what both publish."""
    ratings = tunnel_offers(cluster, cluster.fabric_nodes[here], cluster.fabric_nodes[there])
    refusals = [it.reason for it in ratings if isinstance(it, Refusal)]
    return "; ".join(dict.fromkeys(refusals)) if len(refusals) == len(ratings) else ""


def _counting(cluster: ClusterState) -> Counting:
    """Return how to tell nodes apart: by the smallest blocks that there are."""
    lengths: dict[Family, int] = {}
    for family, whole in _HOSTS.items():
        found = [net.cidr.prefix for net in cluster.blocks.values() if net.cidr.family == family]
        lengths[family] = max(found, default=whole)
    return Counting(
        devices=(TRANSIT_DEVICE, "chita-wg*"),
        mesh=cluster.setting.mesh_cidrs,
        prefixes=tuple(sorted(lengths.items())),
    )


_HOSTS: Mapping[Family, int] = {4: 32, 6: 128}
