"""The NAT is judged from what gateways tell, and told when that is news."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from build import node
from chita.agent.record import OwnRecord
from chita.agent.reflection import keep_judged
from chita.desired.tunnels import Endpoint
from chita.fabric.nat import Judgement
from chita.model.cluster import ClusterState
from chita.model.net import Address
from chita.model.node import Nat
from chita.model.settings import Settings
from hybrid import fabric_node, hybrid
from own_record import own_record

PUBLIC = Address.parse("203.0.113.7")
ONE, OTHER = Endpoint(PUBLIC, 61000), Endpoint(PUBLIC, 61001)
GATES = [
    fabric_node(f"g{index}", "gcp-y", f"10.1.1.{index}", public=f"198.51.100.{index}")
    for index in (1, 2)
]


def around(record: OwnRecord, *, external: str = "") -> ClusterState:
    """Return a cluster of two gateways and the node of *record*, which has told of itself."""
    cluster = hybrid(*GATES)
    cluster.nodes[record.node] = node(record.node, "192.0.2.1", external=external)
    cluster.fabric_nodes[record.node] = record.of(cluster)
    return cluster


class Gateways:
    """Answer one round after the other; a round is what the two say."""

    def __init__(self, rounds: Sequence[Sequence[Endpoint | None]]) -> None:
        self._left = [answer for each in rounds for answer in each]
        self.done = asyncio.Event()

    async def seen_at(self, node: str) -> Endpoint | None:
        assert node in ("g1", "g2")
        if not self._left:
            self.done.set()
            await asyncio.Event().wait()
        return self._left.pop(0)


@pytest.mark.parametrize(
    ("rounds", "expected", "changes"),
    [
        pytest.param([(ONE, ONE), (ONE, ONE)], (Nat.ENDPOINT_INDEPENDENT, ONE), 1, id="stable"),
        pytest.param([(ONE, OTHER)], (Nat.ENDPOINT_DEPENDENT, None), 1, id="random"),
        pytest.param([(None, None), (ONE, ONE)], (Nat.ENDPOINT_INDEPENDENT, ONE), 1, id="later"),
        pytest.param(
            [(ONE, ONE), (OTHER, OTHER)], (Nat.ENDPOINT_INDEPENDENT, OTHER), 2, id="nat-restarted"
        ),
        pytest.param(
            [(ONE, ONE), (ONE, None)], (Nat.ENDPOINT_INDEPENDENT, ONE), 1, id="one-is-silent"
        ),
    ],
)
def test_what_gateways_tell_is_published(
    rounds: Sequence[Sequence[Endpoint | None]],
    expected: tuple[Nat, Endpoint | None],
    changes: int,
) -> None:
    async def act() -> None:
        record, gateways, told = own_record("n1"), Gateways(rounds), list[int]()
        cluster = around(record)

        def changed() -> None:
            told.append(1)
            cluster.fabric_nodes["n1"] = record.of(cluster)

        task = asyncio.create_task(
            keep_judged(record, lambda: cluster, gateways, changed, first_s=0, interval_s=0)
        )
        await asyncio.wait_for(gateways.done.wait(), 5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

        value = record.value
        assert value is not None
        met = [Endpoint(it.address, it.port) for it in value.candidates]
        nat, seen = expected
        assert (nat, [seen] if seen else []) == (value.nat, met)
        assert changes == len(told)

    asyncio.run(act())


def test_what_an_earlier_agent_found_out_holds() -> None:
    """A restart tells nobody that the NAT is not known."""
    record = own_record("n1")
    cluster = around(record)
    record.observed = msgspec.structs.replace(
        record.observed, judgement=Judgement(Nat.ENDPOINT_INDEPENDENT, ONE)
    )
    cluster.fabric_nodes["n1"] = record.of(cluster)

    assert cluster.fabric_nodes["n1"] == own_record("n1").of(cluster)


def test_a_public_address_needs_no_witness() -> None:
    """What an earlier agent said before it had one is gone too."""
    record = own_record("n1")
    value = record.of(around(record, external="198.51.100.9"))

    assert (Nat.ONE_TO_ONE, ()) == (value.nat, value.candidates)


def test_a_new_port_is_asked_about_soon() -> None:
    """The keys changed, and the device listens on another port: its mapping is another one too."""

    async def act() -> None:
        record, gateways = own_record("n1"), Gateways([(ONE, ONE), (OTHER, OTHER)])
        cluster = around(record)
        told = asyncio.Event()

        def changed() -> None:
            cluster.fabric_nodes["n1"] = record.of(cluster)
            told.set()

        task = asyncio.create_task(
            keep_judged(record, lambda: cluster, gateways, changed, first_s=0.001, interval_s=600)
        )
        await asyncio.wait_for(told.wait(), 5)
        told.clear()
        settings = Settings(wireguard_port=40000)
        cluster = msgspec.structs.replace(cluster, settings={"default": settings})
        record.of(cluster)
        await asyncio.wait_for(told.wait(), 5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

        assert record.observed.judgement.reflexive == OTHER

    asyncio.run(act())
