"""IPAM state: whoever has an address keeps it, and nobody else gets it."""

from __future__ import annotations

from typing import Any

import pytest

from chita.convert.documents import Entry, Source
from chita.ipam.block import IPAMBlock
from chita.ipam.handle import IPAMHandle
from chita.ipam.objects import decode
from chita.migrate.addresses import AddressState, address_state
from chita.migrate.export import export

NET = "10.244.1.0/30"
POD = {"pod": "web-0", "namespace": "shop", "node": "node-1"}


def block(**spec: Any) -> dict[str, Any]:
    found = {
        "cidr": NET,
        "affinity": "host:node-1",
        "allocations": [None, 0, None, None],
        "unallocated": [2, 3, 0],
        "attributes": [{"handle_id": "k8s-pod-network.a1", "secondary": POD}],
        "sequenceNumber": 7,
        "sequenceNumberForAllocation": {"1": 6},
        "deleted": False,
        **spec,
    }
    return stored("IPAMBlock", "10-244-1-0-30", found)


def stored(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "crd.projectcalico.org/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


def state(*objects: dict[str, Any]) -> AddressState:
    return address_state(export(Entry(raw=raw, source=Source("-", 1, 1)) for raw in objects))


@pytest.mark.parametrize(
    ("written", "held", "free"),
    [
        pytest.param(block(), {1: "k8s-pod-network.a1"}, (2, 3, 0), id="as-it-is"),
        pytest.param(
            block(attributes=[{"handle_id": "h", "activeOwnerAttrs": POD}]),
            {1: "h"},
            (2, 3, 0),
            id="newer-name-of-the-attributes",
        ),
        pytest.param(
            block(attributes=[{"releasedAt": "2026-08-28T12:05:00Z"}]),
            {},
            (2, 3, 0, 1),
            id="cooling-down-is-free-and-last",
        ),
        pytest.param(
            block(affinity=None, hostAffinity="node-1"),
            {1: "k8s-pod-network.a1"},
            (2, 3, 0),
            id="older-affinity",
        ),
    ],
)
def test_blocks(written: dict[str, Any], held: dict[int, str], free: tuple[int, ...]) -> None:
    """A block keeps its owner, its addresses, and the order in which free ones are used."""
    (found,) = state(written).blocks

    assert "node-1" == found.node
    assert held == {ordinal: each.handle for ordinal, each in found.allocations.items()}
    assert free == found.unallocated


def test_what_is_printed_is_what_the_allocator_reads() -> None:
    """The objects decode to the values they were made of, sequence numbers included."""
    known = state(block())

    again = [decode(IPAMBlock, obj) for obj in known.objects() if obj["kind"] == "IPAMBlock"]

    assert list(known.blocks) == again
    assert 6 == again[0].allocations[1].sequence


def test_every_address_is_found_by_its_handle() -> None:
    """A handle that Calico lost is made again (the allocator's second invariant)."""
    lost = state(block())

    assert {"k8s-pod-network.a1"} == {handle.handle for handle in lost.handles}
    assert {1} == set(lost.handles[0].blocks.values())


def test_a_handle_keeps_what_it_promises() -> None:
    """It may promise more than there is, never less."""
    spec = {"handleID": "k8s-pod-network.a1", "block": {NET: 3}, "deleted": False}

    (found,) = state(block(), stored("IPAMHandle", "k8s-pod-network.a1", spec)).handles

    assert isinstance(found, IPAMHandle)
    assert [3] == list(found.blocks.values())


@pytest.mark.parametrize(
    ("raw", "left"),
    [
        pytest.param(block(deleted=True), 0, id="block-that-goes"),
        pytest.param(
            stored(
                "BlockAffinity",
                "a",
                {"cidr": NET, "node": "node-1", "state": "confirmed", "deleted": "true"},
            ),
            0,
            id="affinity-that-goes-spelled-as-text",
        ),
        pytest.param(
            stored(
                "BlockAffinity",
                "a",
                {"cidr": NET, "node": "load-balancer", "state": "confirmed", "type": "virtual"},
            ),
            1,
            id="block-of-services",
        ),
        pytest.param(block(unallocated=[2, 3]), 1, id="block-that-contradicts-itself"),
        pytest.param(block(allocations="x"), 1, id="block-that-is-none"),
        pytest.param(stored("IPAMHandle", "a", {}), 1, id="empty-handle"),
    ],
)
def test_left_out(raw: dict[str, Any], left: int) -> None:
    """What waits to be deleted is gone; what can't be read is told."""
    found = state(raw)

    assert [] == found.objects()
    assert left == len(found.findings)
