"""Which gateway relays: each sender's own choice, moved by nothing but the gateway itself."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chita.fabric.candidates import is_dialable
from chita.fabric.gateways import is_gateway, rank
from chita.model.node import FabricNode
from hybrid import fabric_node


def gateway(number: int, weight: int = 1) -> FabricNode:
    return fabric_node(
        f"g{number}", "aws-x", f"10.0.0.{number}", public=f"192.0.2.{number}", weight=weight
    )


@pytest.mark.parametrize(
    ("changes", "dialable", "relays"),
    [
        pytest.param({}, True, True, id="gateway"),
        pytest.param({"gateway_weight": 0}, True, False, id="drained"),
        pytest.param({"endpoints": ()}, False, False, id="behind-nat"),
        pytest.param({"wireguard_key": ""}, False, False, id="no-key"),
        pytest.param({"wireguard_port": 0}, False, False, id="no-port"),
    ],
)
def test_who_can_be_dialled(changes: dict[str, object], *, dialable: bool, relays: bool) -> None:
    node = msgspec.structs.replace(gateway(1), **changes)

    assert (dialable, relays) == (is_dialable(node), is_gateway(node))


NUMBERS = st.sets(st.integers(1, 30), min_size=1, max_size=8)


@given(NUMBERS, st.randoms(use_true_random=False))
def test_any_order_ranks_alike(numbers: set[int], random: object) -> None:
    gateways = [gateway(number) for number in numbers]
    shuffled = list(gateways)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    assert rank(gateways, "a", "b") == rank(shuffled, "a", "b")


@given(NUMBERS, st.integers(31, 40))
def test_one_more_gateway_moves_only_what_it_takes(numbers: set[int], extra: int) -> None:
    """Each score depends on its own gateway alone (rendezvous hashing)."""
    gateways, new = [gateway(number) for number in numbers], gateway(extra)
    for place in [f"b{index}" for index in range(10)]:
        before, after = rank(gateways, "a", place), rank([*gateways, new], "a", place)

        assert before == [each for each in after if each != new]


def test_weight_is_the_share() -> None:
    """A gateway of weight 3 beside one of 1 relays for about three senders of four."""
    gateways = [gateway(1, weight=3), gateway(2)]

    chosen = Counter(rank(gateways, f"a{index}", "b")[0].name for index in range(2000))

    assert 1400 < chosen["g1"] < 1600
