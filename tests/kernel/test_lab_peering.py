"""Two clouds whose private networks are joined, on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from chita.lab.ping import ping
from chita.model.net import Address
from lab_worlds import Standing, node, standing, underlay, world
from network_namespace import needs_root

pytestmark = [pytest.mark.kernel, needs_root]

JOINED = world(
    underlay("left", provider="aws", privateCIDRs=["10.1.0.0/24", "fd00:a:1::/64"]),
    underlay(
        "right", provider="gcp", privateCIDRs=["10.2.0.0/24", "fd00:a:2::/64"],
        peers=["left", "third"],
    ),
    underlay("third", provider="openstack", privateCIDRs=["10.3.0.0/24", "fd00:a:3::/64"]),
    node("left-1", "aws"),
    node("right-1", "gcp"),
    node("third-1", "openstack"),
)  # fmt: skip


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """The clouds, standing for all tests of this module."""
    with standing(JOINED, tmp_path_factory.mktemp("peered")) as lab:
        yield lab


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "destination", "answers"),
    [
        pytest.param("left-1", "10.2.0.11", True, id="joined"),
        pytest.param("right-1", "10.1.0.11", True, id="joined-back"),
        pytest.param("left-1", "fd00:a:2::b", True, id="joined-ipv6"),
        pytest.param("third-1", "fd00:a:2::b", True, id="the-other-peering"),
        pytest.param("left-1", "10.3.0.11", False, id="not-through-the-peer"),
        pytest.param("left-1", "fd00:a:3::b", False, id="not-through-the-peer-ipv6"),
    ],
)
def test_private_addresses_reach_each_other_where_joined(
    clouds: Standing, source: str, destination: str, *, answers: bool
) -> None:
    """Untranslated, both ways, and never through a network between."""
    found = asyncio.run(ping(clouds.path(source), Address.parse(destination), count=2))

    assert answers is bool(found.received)
