"""Reconciler: batches from the API in, the kernel held to what they mean.

One loop, no locks: batches queue, wake-ups coalesce, and a state is applied whole before the next
one is looked at. Nothing is written before every collection was listed once; afterwards, with the
API gone, the last known state stays in force.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from enum import StrEnum
from typing import NoReturn, Protocol

import msgspec

from chita.agent.decision import Decision
from chita.api.watch import Batch
from chita.compute.incremental import IncrementalPolicy
from chita.desired.node_state import NodeState
from chita.errors import KernelError
from chita.fabric.health import UNPROBED, Health, Shortcut
from chita.mirror.view import ClusterView
from chita.model.cluster import COLLECTIONS, Change, ClusterState, Put, fold, news
from chita.model.endpoint import WorkloadEndpoint
from chita.model.node import FabricNode
from chita.model.settings import FailsafePort
from chita.telemetry.log import logger

QUEUE_LENGTH = 10_000
"""Batches that may wait; a source that is faster than this blocks on its own watch."""

_LOG = logger("reconcile")


class Part(StrEnum):
    """A part of what a node holds, in the order in which it is applied."""

    POLICY = "policy"
    NODE = "node"
    """Forwarding, and the rules that lead to our routes."""
    VXLAN = "vxlan"
    WIREGUARD = "wireguard"
    TRANSIT = "transit"
    NEXTHOP = "nexthop"
    ROUTE = "route"
    SYNC = "sync"
    """All of it: something unforeseen."""


_NEEDED_BY_PODS = (Part.POLICY, Part.NODE, Part.SYNC)


class Refusal(msgspec.Struct, frozen=True):
    """What was refused: a part, or one thing of it."""

    part: Part
    what: str = ""

    def __str__(self) -> str:
        return f"{self.part} {self.what}".rstrip()


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """What came of making the kernel hold a state."""

    writes: int
    """Changes made; 0: everything was there already."""
    refused: Mapping[Refusal, KernelError]
    """What the kernel refused, and why."""


class Applier(Protocol):
    """Makes the kernel hold a NodeState. Called from one thread, never twice at once."""

    def apply(self, state: NodeState, *, reread: bool) -> Applied:
        """Make it so; with *reread*, trust nothing remembered of the kernel."""


class Reconciler:
    """The agent's loop from changes to the kernel."""

    def __init__(  # noqa: PLR0913 - the collaborators of the one place that composes them
        self,
        view: ClusterView,
        applier: Applier,
        *,
        record: Callable[[ClusterState], FabricNode],
        node: str,
        kernel: Executor,
        resync_s: float,
        retry_s: float,
        server: FailsafePort | None = None,
    ) -> None:
        """Take where the API *server* is: None, if nothing could cut it off."""
        self._view = view
        self._applier = applier
        self._record = record
        self.node = node
        self._kernel = kernel
        self._resync_s = resync_s
        self._retry_s = retry_s
        self._server = server
        self._policy = IncrementalPolicy(node, server)
        self._decision = Decision(node)
        self._wake = asyncio.Event()
        self._applied = asyncio.Condition()
        self._pending: list[Change] = []
        self._reread = True
        self.queue: asyncio.Queue[Batch] = asyncio.Queue(QUEUE_LENGTH)
        self.cluster = ClusterState()
        self.state: NodeState | None = None
        """What the kernel was last made to hold."""
        self.refused: Mapping[Refusal, KernelError] = {}
        """What was refused at the last attempt; tried again, later each time."""
        self._failures = 0
        self.syncs = 0
        self.writes = 0
        self._health = UNPROBED
        self._detours: Mapping[str, int] = {}
        self._shortcuts: Mapping[str, Shortcut] = {}
        self._decided_on = UNPROBED
        """The health that the paths in force follow from."""
        self.last_sync_s = 0.0
        """How long the last one took, decision and kernel together, seconds."""

    async def accept(self) -> NoReturn:
        """Take batches off the queue for ever; the task beside `run`."""
        while True:
            batch = await self.queue.get()
            # Not in one line: `+=` reads the list before it awaits, and a sync takes it meanwhile.
            self._pending += self._view.absorb(batch)
            del batch
            while not self.queue.empty():
                self._pending += self._view.absorb(self.queue.get_nowait())
            self._wake.set()

    def change(self, changes: list[Change]) -> None:
        """Fold changes that this node itself makes: a pod attached or detached."""
        self._pending += changes
        self._wake.set()

    def recheck(self) -> None:
        """Compare with the kernel again soon: somebody else changed it."""
        self._reread = True
        self._wake.set()

    @property
    def health(self) -> Health:
        """What probes found out, as it was last told, and which nodes are dialled in streams."""
        if (self._health.detours, self._health.shortcuts) != (self._detours, self._shortcuts):
            self._health = msgspec.structs.replace(
                self._health, detours=self._detours, shortcuts=self._shortcuts
            )
        return self._health

    def heed(self, health: Health) -> None:
        """Decide the paths anew: probes found something out."""
        self._health = health
        self._wake.set()

    def detour(self, detours: Mapping[str, int]) -> None:
        """Decide the paths anew: nodes are dialled in streams, or not any more."""
        self._detours = detours
        self._wake.set()

    def shorten(self, shortcuts: Mapping[str, Shortcut]) -> None:
        """Decide the paths anew: to some nodes there is a shortcut, or not any more."""
        self._shortcuts = shortcuts
        self._wake.set()

    def reconsider(self) -> None:
        """Decide again soon: our own record may say something else now."""
        self._wake.set()

    @property
    def policy_refused(self) -> dict[Refusal, KernelError]:
        """What was refused without which no pod may start: its policy, or forwarding at all.

        That a tunnel or another node's route is missing keeps no pod of this node from starting.
        """
        return {what: why for what, why in self.refused.items() if what.part in _NEEDED_BY_PODS}

    async def programmed(self, endpoint: WorkloadEndpoint) -> None:
        """Return when the kernel enforces policy for *endpoint* with all its addresses."""

        def holds() -> bool:
            if self.state is None or self.policy_refused:
                return False
            held = self.state.policy.endpoints.get(endpoint.interface)
            return held is not None and set(endpoint.addresses) <= set(held.addresses)

        async with self._applied:
            await self._applied.wait_for(holds)

    async def first_sync(self) -> None:
        """Return when the kernel was made to hold a state for the first time."""
        async with self._applied:
            await self._applied.wait_for(lambda: self.state is not None)

    async def run(self) -> NoReturn:
        """Keep the kernel in step: when woken, soon after a refusal, else every resync period."""
        while True:
            await self._sleep()
            if not self._view.in_sync:
                continue
            await self._sync()

    async def _sleep(self) -> None:
        try:
            async with asyncio.timeout(self._pause_s()):
                await self._wake.wait()
        except TimeoutError:
            self._reread = True
        self._wake.clear()

    def _pause_s(self) -> float:
        """Return how long to wait for news: after failures twice as long each time."""
        if not self._failures:
            return self._resync_s
        return min(self._retry_s * 2.0 ** min(self._failures - 1, 16), self._resync_s)

    def _is_our_record_held(self) -> bool:
        return self.cluster.fabric_nodes.get(self.node) == self._record(self.cluster)

    async def _sync(self) -> None:
        started = time.perf_counter()
        pending, self._pending = news(self._policy.cluster, self._pending), []
        is_known = self.health is self._decided_on and self._is_our_record_held()
        if not pending and not self._reread and not self.refused and is_known:
            return  # an API object changed in what means nothing here, such as who has an address
        reread, self._reread = self._reread, False
        state: NodeState | None
        try:
            state, applied = await self._make_so(pending, reread=reread)
        except Exception as error:  # noqa: BLE001 - see docs/design/agent.md: nothing ends the loop
            _LOG.exception("sync failed")
            self._start_over(pending)
            why = KernelError(
                f"{type(error).__name__}: {error}; this is a defect, please report it"
            )
            state, applied = self.state, Applied(writes=0, refused={Refusal(Part.SYNC): why})
        for what, refusal in applied.refused.items():
            if what not in self.refused and what.part is not Part.SYNC:
                _LOG.warning("kernel refused", what=str(what), error=str(refusal))
        self._failures = self._failures + 1 if applied.refused else 0
        self.syncs += 1
        self.writes += applied.writes
        self.last_sync_s = time.perf_counter() - started
        if applied.writes and state is not None:
            _LOG.info(
                "kernel in step",
                writes=applied.writes,
                endpoints=len(state.policy.endpoints),
                routes=len(state.routes),
                ms=round(self.last_sync_s * 1000, 1),
            )
        async with self._applied:
            self.state, self.refused = state, applied.refused
            self._applied.notify_all()

    async def _make_so(
        self, pending: Sequence[Change], *, reread: bool
    ) -> tuple[NodeState, Applied]:
        """Return what this node should hold after *pending*, and what came of applying it."""
        self._policy.apply(pending)
        # Our own record is the truth for us at once, not only when the API has echoed it.
        policy = self._policy.apply([Put(self._record(self._policy.cluster))])
        self.cluster = self._policy.cluster
        health = self.health
        state = self._decision.of(self.cluster, health, policy)
        self._decided_on = health
        loop = asyncio.get_running_loop()
        applied = await loop.run_in_executor(
            self._kernel, lambda: self._applier.apply(state, reread=reread)
        )
        return state, applied

    def _start_over(self, pending: Sequence[Change]) -> None:
        """Forget what was computed incrementally: after an exception it may be half done."""
        cluster = fold(self._policy.cluster, pending)
        everything: list[Change] = [
            Put(entity)
            for collection in COLLECTIONS.values()
            for entity in getattr(cluster, collection).values()
        ]
        self._policy = IncrementalPolicy(self.node, self._server)
        self._pending = everything + self._pending
        self._reread = True
