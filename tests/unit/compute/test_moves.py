"""Address sets changed by what single members did."""

from __future__ import annotations

import pytest

from build import workload
from chita.compute.endpoints import OtherPeer
from chita.compute.moves import Moves, Standing
from chita.desired.policy import AddressSet
from chita.model.net import Address, Cidr

A, B, C = (Address.parse(f"10.244.0.{last}") for last in (1, 2, 3))
NOBODY = Standing(None, frozenset())


def standing(key: str, address: Address, *selectors: str) -> Standing:
    """Return a pod with *address* that *selectors* select."""
    return Standing(workload(key, str(address)), frozenset(selectors))


def addresses(*members: Address) -> AddressSet:
    return AddressSet(addresses=frozenset(members))


def started(*members: Standing) -> Moves:
    """Return moves after *members* came."""
    moves = Moves()
    for member in members:
        moves.record(NOBODY, member)
    moves.forget()
    return moves


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(standing("a/1", A, "s"), NOBODY, {B}, id="gone"),
        pytest.param(NOBODY, standing("a/3", C, "s"), {A, B, C}, id="come"),
        pytest.param(standing("a/1", A, "s"), standing("a/1", A, "t"), {B}, id="relabelled"),
        pytest.param(standing("a/1", A, "s"), standing("a/1", C, "s"), {B, C}, id="readdressed"),
        pytest.param(NOBODY, standing("a/3", C, "t"), {A, B}, id="not-of-this-set"),
    ],
)
def test_one_member_changes(before: Standing, after: Standing, expected: set[Address]) -> None:
    moves = started(standing("a/1", A, "s"), standing("a/2", B, "s"))
    moves.record(before, after)

    assert AddressSet(addresses=frozenset(expected)) == moves.applied("s", addresses(A, B))


def test_a_set_that_nobody_joined_is_the_same_object() -> None:
    moves = started(standing("a/1", A, "s"))
    held = addresses(A)
    moves.record(standing("a/1", A, "s"), standing("a/1", A, "s"))

    assert moves.applied("s", held) is held


def test_an_address_that_another_member_has_is_not_taken_out() -> None:
    """Two pods with one address, as when a pod is replaced before its end is told."""
    moves = started(standing("a/1", A, "s"), standing("a/2", A, "s"))
    moves.record(standing("a/1", A, "s"), NOBODY)

    assert moves.applied("s", addresses(A)) is None
    moves.forget()
    moves.record(standing("a/2", A, "s"), NOBODY)
    assert moves.applied("s", addresses(A)) == addresses()


def test_an_address_that_moves_to_another_member_stays() -> None:
    moves = started(standing("a/1", A, "s"))
    moves.record(standing("a/1", A, "s"), NOBODY)
    moves.record(NOBODY, standing("a/2", A, "s"))

    assert moves.applied("s", addresses(A)) == addresses(A)


def test_networks_are_merged_with_those_of_others() -> None:
    """So what remains of them cannot be told from one member alone."""
    networks = OtherPeer(labels={}, profiles=(), networks=(Cidr.parse("10.0.0.0/8"),))
    moves = started()
    moves.record(NOBODY, Standing(networks, frozenset({"s"})))

    assert moves.applied("s", addresses(A)) is None
    assert moves.applied("t", addresses(A)) == addresses(A)
