"""Blocks as values: queue order, sequence numbers, stored form."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chita.errors import ConvertError
from chita.ipam.affinity import (
    AffinityState,
    BlockAffinity,
    affinity_name,
    candidates,
    node_label,
)
from chita.ipam.block import (
    IPAMBlock,
    Release,
    assign,
    assign_address,
    cidr_name,
    has_free,
    host_affinity,
    new_block,
    release,
    release_handle,
)
from chita.ipam.handle import IPAMHandle, covering, handle_name, pod_handle
from chita.ipam.objects import NODE_LABEL, decode, encode
from chita.model.net import Address, Cidr

BLOCK = new_block(Cidr.parse("10.244.1.0/30"), host_affinity("node-1"))


def given_to(block: IPAMBlock, handle: str) -> tuple[IPAMBlock, Address]:
    answer = assign(block, handle, {"node": "node-1"})
    assert answer is not None
    return answer


def test_every_address_is_used_and_the_longest_free_comes_first() -> None:
    """No network or broadcast address is kept; a freed address goes to the end of the queue."""
    block, order = BLOCK, []
    for handle in "abcd":
        block, address = given_to(block, handle)
        order.append(str(address))
    assert assign(block, "e", {}) is None
    block, _ = release_handle(block, "c")
    block, _ = release_handle(block, "a")
    _, next_address = given_to(block, "f")

    assert order == ["10.244.1.0", "10.244.1.1", "10.244.1.2", "10.244.1.3"]
    assert str(next_address) == "10.244.1.2"


def test_a_change_leaves_the_old_block_as_it_was() -> None:
    changed, _ = given_to(BLOCK, "a")

    assert BLOCK.allocations == {}
    assert changed.sequence == BLOCK.sequence + 1


def test_release_needs_the_same_handle_and_sequence() -> None:
    block, address = given_to(BLOCK, "a")
    right = Release(address=address, handle="a", sequence=block.allocations[0].sequence)
    stale = msgspec.structs.replace(right, sequence=right.sequence + 7)
    other = msgspec.structs.replace(right, handle="b")

    assert release(block, [stale, other]) == (block, [])
    assert release(block, [right])[1] == [address]


def test_a_fixed_address_is_given_once() -> None:
    block = assign_address(BLOCK, Address.parse("10.244.1.2"), "a", {})

    assert block is not None
    assert block.addresses_of("a") == [Address.parse("10.244.1.2")]
    assert assign_address(block, Address.parse("10.244.1.2"), "b", {}) is None


def test_has_free_agrees_with_assign_under_reservations() -> None:
    reserved = [Cidr.parse("10.244.1.0/31"), Cidr.parse("10.244.1.3/32")]
    answer = assign(BLOCK, "a", {}, reserved)
    assert answer is not None

    assert str(answer[1]) == "10.244.1.2"
    assert has_free(BLOCK, reserved)
    assert not has_free(answer[0], reserved)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=20))
def test_any_walk_keeps_each_ordinal_once_and_survives_storage(
    walk: list[tuple[str, bool]],
) -> None:
    block = BLOCK
    for handle, is_assign in walk:
        answer = assign(block, handle, {"pod": handle}) if is_assign else None
        block = answer[0] if answer else release_handle(block, handle)[0]
        assert sorted([*block.unallocated, *block.allocations]) == [0, 1, 2, 3]
    assert decode(IPAMBlock, encode(block)) == block


def test_the_stored_form_is_the_v3_one() -> None:
    """Two addresses of one owner share one attribute entry; ordinals index into it."""
    block, _ = given_to(BLOCK, "a")
    block, _ = given_to(block, "a")

    assert encode(block) == {
        "apiVersion": "projectcalico.org/v3",
        "kind": "IPAMBlock",
        "metadata": {"name": "10-244-1-0-30"},
        "spec": {
            "cidr": "10.244.1.0/30",
            "affinity": "host:node-1",
            "allocations": [0, 0, None, None],
            "unallocated": [2, 3],
            "attributes": [{"handle_id": "a", "secondary": {"node": "node-1"}}],
            "sequenceNumber": 2,
            "sequenceNumberForAllocation": {"0": 0, "1": 1},
            "deleted": False,
            "strictAffinity": False,
        },
    }


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"unallocated": [1, 2]}, id="ordinal-lost"),
        pytest.param({"unallocated": [0, 1, 2, 3, 3]}, id="ordinal-twice"),
        pytest.param({"allocations": [0, None, None, None]}, id="no-such-attribute"),
        pytest.param({"cidr": "10.244.1.1/30"}, id="host-bits"),
    ],
)
def test_a_contradictory_block_is_refused_by_name(change: dict[str, object]) -> None:
    stored = encode(BLOCK)
    stored["spec"] |= change

    with pytest.raises(ConvertError, match="10-244-1-0-30"):
        decode(IPAMBlock, stored)


def test_handles_and_affinities_survive_storage() -> None:
    handle = covering(IPAMHandle(handle="net.c1", blocks={}), [BLOCK.cidr])
    affinity = BlockAffinity(node="node-1", cidr=BLOCK.cidr, state=AffinityState.PENDING)

    assert decode(IPAMHandle, encode(handle)) == handle
    assert encode(handle)["spec"]["block"] == {"10.244.1.0/30": 1}
    assert decode(BlockAffinity, encode(affinity)) == affinity
    assert encode(affinity)["metadata"]["labels"] == {NODE_LABEL: node_label("node-1")}


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        pytest.param(cidr_name(Cidr.parse("10.244.1.0/26")), "10-244-1-0-26", id="ipv4"),
        pytest.param(cidr_name(Cidr.parse("fd00:10::/122")), "fd00-10---122", id="ipv6"),
        pytest.param(
            affinity_name("node-1", Cidr.parse("10.244.1.0/26")), "node-1-10-244-1-0-26", id="node"
        ),
        pytest.param(handle_name("k8s-pod-network.0f3a"), "k8s-pod-network.0f3a", id="handle"),
        pytest.param(pod_handle("net", "c1", "eth0"), "net.c1", id="eth0"),
        pytest.param(pod_handle("net", "c1", "net1"), "net.c1.net1", id="another-interface"),
    ],
)
def test_names(actual: str, expected: str) -> None:
    """Stored objects are found by name: these encodings must never change."""
    assert actual == expected


def test_names_stay_legal_and_apart() -> None:
    long_node = "n" * 250
    names = {
        handle_name("net.AB"),
        handle_name("net.ab"),
        handle_name("net.a_b"),
        handle_name("x" * 300),
        affinity_name(long_node, Cidr.parse("10.244.1.0/26")),
        affinity_name(long_node, Cidr.parse("10.244.2.0/26")),
    }

    assert len(names) == 6
    assert all(len(name) <= 253 and name == name.lower() and "_" not in name for name in names)


@given(st.text(min_size=1, max_size=20), st.integers(0, 6))
def test_candidates_are_each_block_once(node: str, bits: int) -> None:
    pool = Cidr.parse("10.244.0.0/20")

    found = list(candidates(pool, 20 + bits, node, taken=()))

    assert sorted(found) == list(pool.subnets(20 + bits))


def test_candidates_differ_between_nodes_and_repeat_for_one() -> None:
    pool = Cidr.parse("fd00:10:244::/56")

    def first(node: str) -> Cidr:
        return next(candidates(pool, 122, node, taken=()))

    assert len({first(f"node-{index}") for index in range(50)}) == 50
    assert first("node-1") == first("node-1")


def test_candidates_leave_out_what_is_taken_reserved_or_overlapped() -> None:
    pool = Cidr.parse("10.244.0.0/24")
    found = candidates(
        pool,
        26,
        "node-1",
        taken={Cidr.parse("10.244.0.0/26"), Cidr.parse("10.244.0.72/29")},
        reserved=[Cidr.parse("10.244.0.128/26")],
    )

    assert list(found) == [Cidr.parse("10.244.0.192/26")]
