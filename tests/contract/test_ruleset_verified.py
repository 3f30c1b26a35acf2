"""What others did to our table and nobody announced is found by reading, and put right."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from api_clients import until
from build import workload
from chita.agent.healing import keep_ruleset_verified
from chita.agent.reconcile import Applied, Reconciler
from chita.api.kinds import WATCHED
from chita.api.watch import Listed
from chita.dataplane.nftables.applier import NftApplier, Outcome
from chita.dataplane.nftables.fake import FakeTable
from chita.dataplane.nftables.objects import VerdictMap
from chita.dataplane.nftables.outline import outline
from chita.dataplane.nftables.table import KernelTable, Table
from chita.dataplane.nftables.transaction import DeleteMappings
from chita.desired.node_state import NodeState
from chita.mirror.view import ClusterView
from hybrid import fabric_node
from network_namespace import fresh_namespaces
from nftables_world import inside

KERNEL = pytest.param(
    "kernel",
    marks=[
        pytest.mark.kernel,
        pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces"),
    ],
)


@pytest.fixture(params=["fake", KERNEL])
def table(request: pytest.FixtureRequest) -> Iterator[Table]:
    if request.param == "fake":
        yield FakeTable()
        return
    with fresh_namespaces(1) as (namespace,), inside(namespace):
        kernel = KernelTable()
        yield kernel
        kernel.close()


class PolicyApplier:
    """The policy part of a node's applier."""

    def __init__(self, table: Table) -> None:
        self.nft = NftApplier(table)

    def apply(self, state: NodeState, *, reread: bool) -> Applied:
        del reread
        outcome = self.nft.apply(state.policy).outcome
        return Applied(writes=int(outcome is not Outcome.UNCHANGED), refused={})


@pytest.mark.slow
def test_a_change_that_the_monitor_missed_is_undone(table: Table) -> None:
    """A pod's interface is taken out of dispatch: nothing is announced, nothing else happens."""

    async def act() -> None:
        with ThreadPoolExecutor(1) as kernel:
            view = ClusterView("node-1", WATCHED)
            applier = PolicyApplier(table)
            reconciler = Reconciler(
                view,
                applier,
                record=lambda _: fabric_node("node-1", "here", "192.0.2.1"),
                node="node-1",
                kernel=kernel,
                resync_s=600.0,
                retry_s=600.0,
            )
            running = [
                asyncio.create_task(reconciler.accept()),
                asyncio.create_task(reconciler.run()),
                asyncio.create_task(
                    keep_ruleset_verified(applier.nft.verify_some, reconciler, kernel)
                ),
            ]
            for kind in WATCHED:
                await reconciler.queue.put(Listed(kind, []))
            web = workload("shop/web", "10.244.0.9")
            reconciler.change(view.attach(web))
            async with asyncio.timeout(5):
                await reconciler.programmed(web)
            written = applier.nft.ruleset
            assert written is not None

            before = reconciler.writes
            await asyncio.get_running_loop().run_in_executor(
                kernel, take_out, table, written.maps["from-workload"], web.interface
            )
            await until(lambda: reconciler.writes > before, what="the table put right")

            held = await asyncio.get_running_loop().run_in_executor(kernel, table.read)
            assert outline(written) == held
            for task in running:
                assert not task.done(), "a part ended"
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    asyncio.run(act())


def take_out(table: Table, found: VerdictMap, interface: str) -> None:
    """Remove *interface* by the table's own door: what comes from there is no foreign news."""
    gone = {interface: found.elements[interface]}
    table.commit((DeleteMappings(found.name, gone),))
