"""The clouds' metadata services on the wire: each node is told who it is, strangers nothing."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
from aiohttp import web

from chita.cloud.facts import NOTHING, CloudFacts
from chita.cloud.provider import BUDGET_S, Places, discover
from chita.lab.metadata import CloudMetadata, answering, metadata_services
from chita.lab.metadata_server import open_listener, start_service
from chita.lab.netns import entered
from lab_worlds import Standing, node, standing, underlay, world
from network_namespace import needs_root

pytestmark = [pytest.mark.kernel, needs_root, pytest.mark.slow]

CLOUDS = world(
    underlay("aws", provider="aws", region="eu-west-1", privateCIDRs=["10.0.0.0/24"]),
    underlay("gcp", provider="gcp", region="europe-west4", privateCIDRs=["10.0.0.0/24"]),
    underlay("azure", provider="azure", region="westeurope", privateCIDRs=["10.3.0.0/24"]),
    underlay("openstack", provider="openstack", region="r", privateCIDRs=["192.168.0.0/24"]),
    underlay("branch", provider="branch", region="r", privateCIDRs=["192.168.1.0/24"]),
    *(
        {
            **made,
            "metadata": {
                "name": made["metadata"]["name"],
                "labels": {"topology.kubernetes.io/region": region},
            },
        }
        for made, region in (
            (node("aws-1", "aws", private=["10.0.0.11"], public=["198.18.1.11"]), "eu-west-1"),
            (node("gcp-1", "gcp", private=["10.0.0.11"]), "europe-west4"),
            (node("azure-1", "azure", public=["198.18.3.11"]), "westeurope"),
            (node("openstack-1", "openstack"), "r"),
            (node("branch-1", "branch"), "r"),
        )
    ),
)


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """The clouds with their services, standing for all tests of this module."""
    with standing(CLOUDS, tmp_path_factory.mktemp("metadata")) as lab:
        services = metadata_services(CLOUDS, lab.topology)
        with served(services):
            yield lab


@contextmanager
def served(services: list[CloudMetadata]) -> Iterator[None]:
    """Answer for *services* on a thread of its own."""
    loop = asyncio.new_event_loop()
    listeners = [open_listener(of) for of in services]

    async def start() -> None:
        for of, listener in zip(services, listeners, strict=True):
            runners.append(await start_service(of, listener))

    async def stop() -> None:
        for runner in runners:
            await runner.cleanup()

    runners: list[web.AppRunner] = []
    thread = Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(start(), loop).result(10)
        yield
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def discovered(lab: Standing, name: str) -> CloudFacts:
    """Return what a node's agent would learn."""
    nowhere = Path("/nonexistent")
    with entered(lab.path(name)):
        return asyncio.run(discover(Places(config_drive=nowhere, dmi_directory=nowhere)))


@pytest.mark.parametrize(
    ("name", "provider", "location", "private", "public"),
    [
        pytest.param("aws-1", "aws", "aws-eu-west-1", "10.0.0.11", "198.18.1.11", id="aws"),
        pytest.param("gcp-1", "gcp", "gcp-europe-west4", "10.0.0.11", "", id="same-range"),
        pytest.param(
            "azure-1", "azure", "azure-westeurope", "10.3.0.11", "198.18.3.11", id="azure"
        ),
        pytest.param("openstack-1", "openstack", "", "192.168.0.11", "", id="openstack"),
    ],
)
def test_a_node_learns_where_it_is(
    clouds: Standing, *, name: str, provider: str, location: str, private: str, public: str
) -> None:
    """Two clouds have one private range: each answers its own nodes."""
    facts = discovered(clouds, name)

    assert facts.provider is not None
    assert facts.private_addresses is not None
    told = facts.public_addresses.value if facts.public_addresses else ()
    assert (provider, location) == (facts.provider.value, facts.location)
    assert private == str(facts.private_addresses.value[0])
    assert [public] * bool(public) == [str(address) for address in told]


def test_where_there_is_no_service_little_time_is_lost(clouds: Standing) -> None:
    """The router drops what goes to 169.254.169.254 without a word."""
    started = time.monotonic()

    facts = discovered(clouds, "branch-1")

    assert NOTHING == facts
    assert time.monotonic() - started < BUDGET_S


def test_the_internet_does_not_see_it(clouds: Standing) -> None:
    """Link-local addresses are not forwarded, and a router answers for none on its outside."""
    assert answering(clouds.path("aws"))
    with entered(clouds.path("control")), socket.socket() as stranger:
        stranger.settimeout(0.3)
        with pytest.raises(OSError, match=r"timed out|unreachable|No route"):
            stranger.connect(("169.254.169.254", 80))
