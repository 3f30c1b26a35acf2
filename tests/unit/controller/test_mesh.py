"""Which mesh addresses the controller gives to Nodes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chita.controller.mesh import allotted
from chita.convert.kubernetes import MESH
from chita.model.net import Cidr

NETWORKS = (Cidr.parse("100.64.0.0/16"), Cidr.parse("fd00:100:64::/64"))
SMALL = (Cidr.parse("192.0.2.0/29"),)
V4, V6 = MESH


def node(name: str, v4: str = "", v6: str = "", made: str = "") -> dict[str, Any]:
    annotations = {key: text for key, text in ((V4, v4), (V6, v6)) if text}
    return {
        "metadata": {"name": name, "creationTimestamp": made, "annotations": annotations},
    }


@pytest.mark.parametrize(
    ("nodes", "networks", "expected"),
    [
        pytest.param([], NETWORKS, {}, id="no-nodes"),
        pytest.param(
            [node("a")], NETWORKS, {"a": {V4: "100.64.0.1", V6: "fd00:100:64::1"}}, id="first"
        ),
        pytest.param([node("a", "100.64.0.7", "fd00:100:64::7")], NETWORKS, {}, id="has-both"),
        pytest.param(
            [node("a", "100.64.0.7", "fd00:100:64::7"), node("b")],
            NETWORKS,
            {"b": {V4: "100.64.0.8", V6: "fd00:100:64::8"}},
            id="after-the-highest",
        ),
        pytest.param(
            [node("a", "100.64.0.1"), node("b", "100.64.0.1")],
            SMALL[:0] + NETWORKS[:1],
            {"b": {V4: "100.64.0.2"}},
            id="one-address-twice",
        ),
        pytest.param(
            [
                node("a", "100.64.0.1", made="2026-02-01"),
                node("b", "100.64.0.1", made="2026-01-01"),
            ],
            NETWORKS[:1],
            {"a": {V4: "100.64.0.2"}},
            id="the-older-keeps-it",
        ),
        pytest.param([node("a", "nonsense")], SMALL, {"a": {V4: "192.0.2.1"}}, id="unreadable"),
        pytest.param(
            [node("a", "192.0.2.6"), node("b")], SMALL, {"b": {V4: "192.0.2.1"}}, id="begins-anew"
        ),
        pytest.param(
            [*[node(f"n{i}", f"192.0.2.{i}") for i in range(1, 7)], node("z")], SMALL, {}, id="full"
        ),
        pytest.param([node("a", "10.0.0.1")], SMALL, {}, id="of-former-networks"),
    ],
)
def test_allotted(
    nodes: list[dict[str, Any]], networks: tuple[Cidr, ...], expected: dict[str, dict[str, str]]
) -> None:
    assert expected == allotted(nodes, networks)


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.sampled_from(["", "2026-01-01", "2026-01-02"])),
        max_size=30,
    )
)
def test_no_address_is_of_two_nodes_and_nobody_loses_a_good_one(
    held: list[tuple[int, str]],
) -> None:
    network = Cidr.parse("10.9.0.0/24")
    nodes = [
        node(f"n{place}", str(network.address + number) if number else "", made=made)
        for place, (number, made) in enumerate(held)
    ]
    before = {each["metadata"]["name"]: each["metadata"]["annotations"].get(V4) for each in nodes}

    given_out = {name: it[V4] for name, it in allotted(nodes, [network]).items()}

    after = {**before, **given_out}
    assert None not in after.values()
    assert len(after) == len(set(after.values()))
    # Whoever got another had none, or shared it.
    for name in given_out:
        assert before[name] is None or list(before.values()).count(before[name]) > 1
