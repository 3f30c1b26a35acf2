"""What counts as garbage, and when."""

from __future__ import annotations

import msgspec
import pytest

from chita.ipam.affinity import AffinityState, BlockAffinity
from chita.ipam.block import IPAMBlock, assign, host_affinity, new_block
from chita.ipam.garbage import Garbage, IpamState, Live, LivePod, Memory, find_garbage
from chita.ipam.handle import IPAMHandle
from chita.model.net import Address, Cidr

FIRST, SECOND = Cidr.parse("10.244.0.0/30"), Cidr.parse("10.244.0.4/30")
GRACE_S = 100.0


def block(cidr: Cidr = FIRST, node: str | None = "node-1", **pods: str) -> IPAMBlock:
    """Return a block of *node*; each keyword is a pod (handle ``h-<pod>``) and its node."""
    made = new_block(cidr, node and host_affinity(node))
    for pod, at in pods.items():
        answer = assign(made, f"h-{pod}", {"namespace": "shop", "pod": pod, "node": at})
        assert answer is not None
        made = answer[0]
    return made


def affinity(cidr: Cidr = FIRST, node: str = "node-1") -> BlockAffinity:
    return BlockAffinity(node=node, cidr=cidr, state=AffinityState.CONFIRMED)


def live(**pods: LivePod) -> Live:
    named = {f"shop/{name}": pod for name, pod in pods.items()}
    return Live(nodes=frozenset({"node-1", "node-2"}), pods=named)


def scan(
    state: IpamState, alive: Live, *, times: tuple[float, ...] = (0.0, GRACE_S)
) -> list[Garbage]:
    """Return what each of several scans of one state finds."""
    found: list[Garbage] = []
    for now_s in times:
        memory = found[-1].memory if found else Memory()
        found.append(find_garbage(state, alive, memory, now_s=now_s, grace_s=GRACE_S))
    return found


def state(
    *blocks: IPAMBlock,
    affinities: tuple[BlockAffinity, ...] = (),
    handles: tuple[IPAMHandle, ...] = (),
) -> IpamState:
    return IpamState(blocks=blocks, affinities=affinities, handles=handles)


HERE = LivePod(node="node-1", addresses=frozenset({Address.parse("10.244.0.0")}))


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        pytest.param(HERE, [[], []], id="its-pod"),
        pytest.param(LivePod(node="node-1"), [[], []], id="no-status-yet"),
        pytest.param(LivePod(node=""), [[], []], id="not-scheduled-yet"),
        pytest.param(None, [[], ["h-web"]], id="pod-gone"),
        pytest.param(LivePod(node="node-2"), [[], ["h-web"]], id="pod-elsewhere"),
        pytest.param(
            LivePod(node="node-1", addresses=frozenset({Address.parse("10.244.0.1")})),
            [[], ["h-web"]],
            id="another-address",
        ),
    ],
)
def test_an_allocation(pod: LivePod | None, expected: list[list[str]]) -> None:
    alive = live(web=pod) if pod else live()
    found = scan(state(block(web="node-1")), alive)

    assert [list(garbage.releases) for garbage in found] == expected


def test_a_suspect_that_recovers_starts_anew() -> None:
    """Being without its pod for a moment now and for a moment later is not a leak."""
    leaked = state(block(web="node-1"))
    first = find_garbage(leaked, live(), Memory(), now_s=0, grace_s=GRACE_S)
    second = find_garbage(leaked, live(web=HERE), first.memory, now_s=90, grace_s=GRACE_S)
    third = find_garbage(leaked, live(), second.memory, now_s=GRACE_S, grace_s=GRACE_S)

    assert third.releases == {}


def test_a_node_that_is_gone_loses_all_at_once() -> None:
    (garbage,) = scan(state(block(node="node-9", web="node-9")), live(), times=(0.0,))

    assert list(garbage.releases) == ["h-web"]
    assert garbage.orphans == (FIRST,)


def test_an_owner_of_unknown_kind_stays() -> None:
    """No pod among its attributes: a tunnel's address, a standalone container."""
    answer = assign(block(), "tunnel", {"node": "node-1"})
    assert answer is not None

    assert scan(state(answer[0]), live())[-1].releases == {}


def test_a_handle_goes_whole_or_not_at_all() -> None:
    """One of its two addresses is the pod's: neither is a leak."""
    both = block(web="node-1")
    answer = assign(both, "h-web", both.allocations[0].attributes)
    assert answer is not None

    assert scan(state(answer[0]), live(web=HERE))[-1].releases == {}
    assert len(scan(state(answer[0]), live())[-1].releases["h-web"]) == 2


def test_an_empty_promise_goes_after_the_grace_period() -> None:
    """An ADD under way has its handle before its addresses."""
    promise = IPAMHandle(handle="h-web", blocks={FIRST: 1})
    kept = IPAMHandle(handle="h-api", blocks={FIRST: 1, SECOND: 1})
    found = scan(state(block(api="node-1"), handles=(promise, kept)), live(api=HERE))

    assert [garbage.promises for garbage in found] == [(), ("h-web",)]


def test_an_empty_block_goes_at_the_second_sight_unless_it_is_the_last() -> None:
    empty = state(block(FIRST), block(SECOND), affinities=(affinity(FIRST), affinity(SECOND)))
    found = scan(empty, live())

    assert [garbage.blocks for garbage in found] == [(), (SECOND,)]
    assert found[-1].affinities == (affinity(SECOND),)


def test_a_block_that_was_used_between_two_scans_stays() -> None:
    first = scan(state(block(FIRST), block(SECOND)), live(), times=(0.0,))[0]
    used = msgspec.structs.replace(block(SECOND), sequence=2)
    second = find_garbage(state(block(FIRST), used), live(), first.memory, now_s=1, grace_s=GRACE_S)

    assert second.blocks == (FIRST,)


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        pytest.param("node-1", [0, 0], id="its-own-block"),
        pytest.param("node-2", [0, 1], id="lost-race"),
        pytest.param(None, [0, 1], id="no-such-block"),
    ],
)
def test_an_affinity_without_its_block(owner: str | None, expected: list[int]) -> None:
    blocks = () if owner is None else (block(node=owner, web="node-1"),)
    found = scan(state(*blocks, affinities=(affinity(),)), live(web=HERE))

    assert [len(garbage.affinities) for garbage in found] == expected


def test_a_gone_nodes_borrowed_block_survives_without_it() -> None:
    """Its last address is a live pod's on another node: the block stays, nobody's."""
    here = LivePod(node="node-2", addresses=frozenset({Address.parse("10.244.0.0")}))
    lent = state(block(node="node-9", web="node-2"), affinities=(affinity(node="node-9"),))
    (garbage,) = scan(lent, live(web=here), times=(0.0,))

    assert garbage.releases == {}
    assert garbage.orphans == (FIRST,)
    assert garbage.affinities == (affinity(node="node-9"),)
    assert scan(state(block(node=None)), live())[0].blocks == (FIRST,)
