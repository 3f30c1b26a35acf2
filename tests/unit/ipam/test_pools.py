"""Which pools serve whom."""

from __future__ import annotations

import msgspec
import pytest

from build import pool
from chita.errors import ExhaustedError, InputError
from chita.ipam.pools import Place, Wish, chosen, qualified, wish
from chita.model.ippool import IPPool, PoolUse
from chita.model.net import Address
from chita.model.selector import parse_selector

BASE = pool("base", "10.244.0.0/16")


def changed(name: str, **fields: object) -> IPPool:
    return msgspec.structs.replace(BASE, name=name, **fields)


POOLS = [
    pool("v6", "fd00:10:244::/56"),
    changed("zebra"),
    BASE,
    changed("off", disabled=True),
    changed("manual", manual=True),
    changed("balancer", allowed_uses=frozenset({PoolUse.LOAD_BALANCER})),
    changed("ssd", node_selector=parse_selector("disk == 'ssd'")),
    changed("shop", namespace_selector=parse_selector("team == 'shop'")),
]


@pytest.mark.parametrize(
    ("named", "place", "expected"),
    [
        pytest.param((), Place(), ["base", "zebra"], id="any"),
        pytest.param((), Place(node_labels={"disk": "ssd"}), ["base", "ssd", "zebra"], id="node"),
        pytest.param(
            (), Place(namespace_labels={"team": "shop"}), ["base", "shop", "zebra"], id="namespace"
        ),
        pytest.param((), Place(use=PoolUse.LOAD_BALANCER), ["balancer"], id="use"),
        pytest.param(("zebra", "base"), Place(), ["zebra", "base"], id="named-in-order"),
        pytest.param(("manual",), Place(), ["manual"], id="manual-when-named"),
        pytest.param(("off", "ssd", "absent"), Place(), [], id="naming-overrides-nothing-else"),
        pytest.param(("10.244.0.0/16",), Place(), ["zebra"], id="by-network"),
    ],
)
def test_qualified(named: tuple[str, ...], place: Place, expected: list[str]) -> None:
    assert [it.name for it in qualified(POOLS, 4, named, place)] == expected


def test_families_are_apart() -> None:
    assert [it.name for it in qualified(POOLS, 6, (), Place())] == ["v6"]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param(Wish(), {4: ["base", "zebra"], 6: ["v6"]}, id="all-that-there-is"),
        pytest.param(Wish(families=(6,)), {6: ["v6"]}, id="family"),
        pytest.param(Wish(pools={4: ("zebra",)}), {4: ["zebra"], 6: ["v6"]}, id="pool"),
        pytest.param(
            Wish(addresses=(Address.parse("10.244.0.9"),)), {4: ["base", "zebra"]}, id="fixed-alone"
        ),
    ],
)
def test_chosen(asked: Wish, expected: dict[int, list[str]]) -> None:
    found = chosen(POOLS, asked, Place())

    assert {family: [it.name for it in fit] for family, fit in found.items()} == expected


@pytest.mark.parametrize(
    ("pools", "asked", "message"),
    [
        pytest.param([], Wish(), "no IPPool may be used", id="no-pool"),
        pytest.param([BASE], Wish(families=(4, 6)), "IPv6", id="family-without-pool"),
        pytest.param(POOLS, Wish(pools={4: ("off",)}), "IPv4", id="named-is-disabled"),
    ],
)
def test_what_is_asked_for_is_not_silently_left_out(
    pools: list[IPPool], asked: Wish, message: str
) -> None:
    with pytest.raises(ExhaustedError, match=message):
        chosen(pools, asked, Place())


V4, V6 = "cni.projectcalico.org/ipv4pools", "cni.projectcalico.org/ipv6pools"


@pytest.mark.parametrize(
    ("pod", "namespace", "expected"),
    [
        pytest.param({}, {}, Wish(pools={4: ("conf",)}), id="configuration"),
        pytest.param({}, {V4: '["ns"]'}, Wish(pools={4: ("ns",)}), id="namespace-wins"),
        pytest.param(
            {V4: '["pod"]'}, {V4: '["ns"]', V6: '["ns6"]'},
            Wish(pools={4: ("pod",), 6: ("ns6",)}), id="pod-wins-each-for-itself",
        ),
        pytest.param(
            {"cni.projectcalico.org/ipAddrs": '["10.244.0.9"]'}, {},
            Wish(pools={4: ("conf",)}, addresses=(Address.parse("10.244.0.9"),)), id="fixed",
        ),
        pytest.param(
            {"cni.projectcalico.org/ipFamilies": '["IPv6"]'}, {},
            Wish(pools={4: ("conf",)}, families=(6,)), id="families",
        ),
    ],
)  # fmt: skip
def test_wish(pod: dict[str, str], namespace: dict[str, str], expected: Wish) -> None:
    assert wish(pod, namespace, Wish(pools={4: ("conf",)})) == expected


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        pytest.param("ipv4pools", "base", "JSON list", id="not-json"),
        pytest.param("ipv4pools", "[1]", "JSON list of strings", id="not-strings"),
        pytest.param("ipAddrs", '["10.244.0.300"]', "not an IP address", id="no-address"),
        pytest.param("ipAddrs", '["10.244.0.1","10.244.0.2"]', "at most one", id="two-of-one"),
        pytest.param("ipFamilies", '["v4"]', "not IPv4 or IPv6", id="family"),
    ],
)
def test_a_bad_annotation_is_named(key: str, value: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        wish({f"cni.projectcalico.org/{key}": value}, {})

    assert f"cni.projectcalico.org/{key}" in str(caught.value)
