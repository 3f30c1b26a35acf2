"""A bare Node in a cloud: what it does not say of itself, its cloud says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chita.api.kinds import CHITA, resource_of
from chita.lab.cluster import Lab
from chita.lab.layout import Layout
from lab_worlds import node, underlay, world
from network_namespace import needs_root
from scenario_lab import Quiet

pytestmark = [pytest.mark.scenario, pytest.mark.kernel, pytest.mark.slow, needs_root]

LAYOUT = Layout(
    directory=Path("/run/chita-lab-scenario-metadata"), api_port=16445, prefix="chita-tsm-"
)
WORLD = world(
    underlay("aws", provider="aws", privateCIDRs=["10.0.0.0/24"]),
    underlay("gcp", provider="gcp", privateCIDRs=["10.0.0.0/24"]),
    node("aws-1", "aws", private=["10.0.0.11"], public=["198.18.1.11"]),
    node("gcp-1", "gcp", private=["10.0.0.11"]),
)
BARE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "aws-1"},
    "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.11"}]},
}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab in which aws-1's Node says nothing but its name and private address."""
    made = Lab(WORLD, LAYOUT, Quiet())
    try:
        made.up([])
        replace_node(made)
        yield made
    finally:
        made.down()


def replace_node(lab: Lab) -> None:
    """Take away what the Node said; what its agent made of that goes before the new one comes."""

    async def change(node: dict[str, Any] | None) -> None:
        async with lab.client() as client:
            if node is None:
                await client.delete(resource_of(BARE), "aws-1")
            else:
                await client.create(node)

    asyncio.run(change(None))
    lab.wait("being alone", "agent-aws-1", lambda: lab.status("aws-1")["location"] == "site-aws-1")
    asyncio.run(change(BARE))


async def record(lab: Lab) -> dict[str, Any]:
    async with lab.client() as client:
        spec: dict[str, Any] = (await client.get(CHITA["FabricNode"], "aws-1"))["spec"]
        return spec


def test_a_bare_node_is_dialled_by_what_its_cloud_says(lab: Lab) -> None:
    """Nothing but the metadata has the region and the public address: they come by no other way."""

    def known() -> bool:
        facts = lab.status("aws-1")["facts"]
        told = {name: fact["source"] for name, fact in facts.items() if fact}
        is_told = told.get("provider") == told.get("public_addresses") == "metadata"
        return is_told and lab.status("aws-1")["location"] == "aws-r"

    lab.wait("aws-1's own facts", "agent-aws-1", known)
    lab.wait(
        "aws-1's record", "agent-aws-1", lambda: asyncio.run(record(lab))["location"] == "aws-r"
    )

    assert "198.18.1.11" in str(asyncio.run(record(lab))["endpoints"])
    lab.wait(
        "gcp-1's path",
        "agent-gcp-1",
        lambda: lab.status("gcp-1")["paths"]["aws-1"]["kind"] == "wireguard",
    )


def test_a_restart_without_the_service_is_not_held_up(lab: Lab) -> None:
    """The agent comes up in time, and is in sync without what nobody tells it."""
    lab.processes.stop("metadata")
    lab.processes.stop("agent-gcp-1")
    lab.start_agent(lab.topology.node("gcp-1"))

    lab.wait("gcp-1's agent", "agent-gcp-1", lambda: bool(lab.status("gcp-1").get("in_sync")), s=10)

    assert "not running" == lab.describe()["processes"]["metadata"]
    assert "gcp-r" == lab.status("gcp-1")["location"]
