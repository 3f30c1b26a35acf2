"""The agent's loop: what it writes and when, what it does about refusals and defects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import pytest

from api_clients import until
from build import workload
from chita.agent.applier_memory import MemoryApplier
from chita.agent.reconcile import Part, Reconciler, Refusal
from chita.agent.status import agent_status
from chita.api.kinds import CORE, WATCHED
from chita.api.watch import Batch, Changed, Deleted, Interrupted, Listed
from chita.cloud.facts import NOTHING
from chita.errors import KernelError
from chita.mirror.view import ClusterView
from chita.model.cluster import ClusterState, Remove
from chita.model.endpoint import WorkloadEndpoint
from chita.model.node import FabricNode
from hybrid import fabric_node

POD = CORE["Pod"]
WEB = workload("shop/web", "10.244.0.9")


def record_of(cluster: ClusterState) -> FabricNode:
    del cluster
    return fabric_node("node-1", "here", "192.0.2.1")


class Node:
    """A reconciler with its memory of a kernel."""

    def __init__(
        self,
        record: Callable[[ClusterState], FabricNode],
        kernel: ThreadPoolExecutor,
        resync_s: float,
        retry_s: float,
    ) -> None:
        self.view = ClusterView("node-1", WATCHED)
        self.applier = MemoryApplier()
        self.reconciler = Reconciler(
            self.view,
            self.applier,
            record=record,
            node="node-1",
            kernel=kernel,
            resync_s=resync_s,
            retry_s=retry_s,
        )

    async def send(self, *batches: Batch) -> None:
        for batch in batches:
            await self.reconciler.queue.put(batch)

    async def list_all(self) -> None:
        await self.send(*(Listed(resource, []) for resource in WATCHED))
        await until(lambda: self.reconciler.state is not None)

    async def syncs(self, number: int) -> None:
        await until(lambda: self.reconciler.syncs >= number)

    def attach(self) -> None:
        self.reconciler.change(self.view.attach(WEB))


@asynccontextmanager
async def node(
    *,
    record: Callable[[ClusterState], FabricNode] = record_of,
    resync_s: float = 60.0,
    retry_s: float = 0.01,
) -> AsyncIterator[Node]:
    with ThreadPoolExecutor(1) as kernel:
        made = Node(record, kernel, resync_s, retry_s)
        running = [
            asyncio.create_task(made.reconciler.accept()),
            asyncio.create_task(made.reconciler.run()),
        ]
        try:
            yield made
            assert not any(task.done() for task in running), "the loop ended"
        finally:
            made.applier.open.set()
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


def pod(version: int, name: str = "web", node: str = "node-1") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": "shop", "name": name, "resourceVersion": str(version)},
        "spec": {"nodeName": node},
        "status": {"podIPs": [{"ip": "10.244.0.9"}]},
    }


def test_nothing_is_written_before_all_is_listed() -> None:
    """A policy that is not known yet would be a hole."""

    async def act() -> None:
        async with node() as made:
            made.attach()
            first, *rest = WATCHED
            await made.send(*(Listed(resource, []) for resource in rest))
            await made.send(Changed(first, {"metadata": {"name": "x"}, "kind": first.kind}))
            await until(made.reconciler.queue.empty)
            made.reconciler.recheck()
            await asyncio.sleep(0.05)
            assert [] == made.applier.states

            await made.send(Listed(first, []))
            await made.syncs(1)
            assert WEB.interface in made.applier.states[0].policy.endpoints

    asyncio.run(act())


def test_what_comes_meanwhile_is_one_more_sync() -> None:
    """Wake-ups coalesce: nothing queues behind a slow kernel."""

    async def act() -> None:
        async with node() as made:
            await made.list_all()
            made.applier.open.clear()
            await made.send(Changed(POD, pod(1)))
            await until(made.reconciler.queue.empty)
            await asyncio.sleep(0.02)
            for version in range(2, 30):
                await made.send(Changed(POD, pod(version, name=f"web-{version}")))
            await until(made.reconciler.queue.empty)
            before = made.reconciler.syncs
            made.applier.open.set()
            await made.syncs(before + 2)
            await asyncio.sleep(0.02)

            assert before + 2 == made.reconciler.syncs
            assert 29 == len(made.applier.states[-1].policy.endpoints)

    asyncio.run(act())


def test_what_means_nothing_costs_no_sync() -> None:
    """Such as a heartbeat, or a watch that broke."""

    async def act() -> None:
        async with node() as made:
            await made.list_all()
            await made.send(Changed(POD, pod(1)))
            await made.syncs(2)
            await made.send(
                Changed(POD, pod(2)), Interrupted(POD, "gone"), Deleted(POD, pod(9, "no"))
            )
            await until(made.reconciler.queue.empty)
            await asyncio.sleep(0.02)

            assert 2 == made.reconciler.syncs

    asyncio.run(act())


def test_programmed_waits_for_the_kernel() -> None:
    """An ADD returns once the ruleset has the pod, not earlier."""

    async def act() -> None:
        async with node() as made:
            await made.list_all()
            made.applier.open.clear()
            made.attach()
            waiting = asyncio.create_task(made.reconciler.programmed(WEB))
            await asyncio.sleep(0.03)
            assert not waiting.done()
            made.applier.open.set()
            async with asyncio.timeout(5):
                await waiting

    asyncio.run(act())


@pytest.mark.parametrize(
    ("refusal", "holds_up"),
    [
        pytest.param(Refusal(Part.POLICY), True, id="policy"),
        pytest.param(Refusal(Part.NODE, "rule"), True, id="forwarding"),
        pytest.param(Refusal(Part.ROUTE, "10.244.7.0/26"), False, id="another-nodes-route"),
        pytest.param(Refusal(Part.WIREGUARD), False, id="tunnel"),
    ],
)
def test_a_refusal_holds_up_what_depends_on_it(refusal: Refusal, *, holds_up: bool) -> None:
    """A missing tunnel keeps no pod from starting; a missing policy does."""

    async def act() -> None:
        async with node() as made:
            await made.list_all()
            made.applier.refusing = {refusal: KernelError("no")}
            made.attach()
            await made.syncs(3)
            waiting = asyncio.create_task(made.reconciler.programmed(WEB))
            await asyncio.sleep(0.02)
            assert holds_up is not waiting.done()
            status = agent_status(
                made.reconciler,
                made.view,
                version="1",
                facts=NOTHING,
                peers=[],
                own_problems={"clock": "late"},
            )
            assert {str(refusal): "no"} == status.refused
            assert not status.in_sync

            made.applier.refusing = {}
            async with asyncio.timeout(5):
                await waiting
            await until(lambda: not made.reconciler.refused)

    asyncio.run(act())


@pytest.mark.slow
def test_a_refusal_is_tried_again_later_each_time() -> None:
    """A hundredth of a second, then two, four, eight, ...: a few tries, not a loop."""

    async def act() -> None:
        async with node() as made:
            await made.list_all()
            made.applier.refusing = {Refusal(Part.ROUTE, "x"): KernelError("no")}
            made.attach()
            await asyncio.sleep(0.3)
            assert 4 <= len(made.applier.states) <= 8
            assert made.applier.rereads >= 3

    asyncio.run(act())


def test_a_recheck_trusts_nothing_remembered() -> None:
    async def act() -> None:
        async with node() as made:
            await made.list_all()
            before = made.applier.rereads
            made.reconciler.recheck()
            await made.syncs(2)
            assert before + 1 == made.applier.rereads
            assert made.reconciler.writes == 1

    asyncio.run(act())


def test_the_kernel_is_read_again_now_and_then() -> None:
    async def act() -> None:
        async with node(resync_s=0.02) as made:
            await made.list_all()
            await until(lambda: made.applier.rereads >= 3)

    asyncio.run(act())


def test_a_defect_of_an_applier_ends_nothing() -> None:
    """It is named, tried again, and gone when it is gone."""

    async def act() -> None:
        async with node() as made:
            await made.list_all()
            made.applier.breaking = ZeroDivisionError("oops")
            made.attach()
            await until(lambda: bool(made.reconciler.refused))
            (refusal,) = made.reconciler.refused
            assert Part.SYNC is refusal.part
            assert "ZeroDivisionError: oops" in str(made.reconciler.refused[refusal])
            made.applier.breaking = None
            async with asyncio.timeout(5):
                await made.reconciler.programmed(WEB)
            assert {} == made.reconciler.refused

    asyncio.run(act())


def test_a_defect_of_the_computation_loses_no_change() -> None:
    """What was computed incrementally is computed anew, from all that was ever told."""
    broken = True

    def record(cluster: ClusterState) -> FabricNode:
        if broken and "shop/late" in cluster.workloads:
            raise ZeroDivisionError("oops")
        return record_of(cluster)

    async def act() -> None:
        nonlocal broken
        async with node(record=record) as made:
            await made.list_all()
            made.attach()
            await made.syncs(2)
            await made.send(Changed(POD, pod(1, "late")))
            await until(lambda: bool(made.reconciler.refused))
            broken = False
            await until(lambda: not made.reconciler.refused)

            late = workload("shop/late", "10.244.0.9")
            assert {WEB.interface, late.interface} == made.applier.states[
                -1
            ].policy.endpoints.keys()
            assert {"shop/web", "shop/late"} == made.reconciler.cluster.workloads.keys()

    asyncio.run(act())


def test_a_change_is_taken_once() -> None:
    """What an earlier sync took does not come back with the next batch."""

    async def run() -> None:
        async with node() as made:
            await made.list_all()
            await made.send(Changed(POD, pod(1)))
            await until(lambda: WEB.key in made.reconciler.cluster.workloads)
            made.reconciler.change([Remove(WorkloadEndpoint, WEB.key)])
            await until(lambda: WEB.key not in made.reconciler.cluster.workloads)
            await made.send(Changed(POD, pod(2, name="other")))
            await until(lambda: "shop/other" in made.reconciler.cluster.workloads)

            assert WEB.key not in made.reconciler.cluster.workloads

    asyncio.run(run())
