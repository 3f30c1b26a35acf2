"""What a node tells of itself: from which facts, and when it is written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from api_clients import until
from build import cluster, node
from chita.agent import record as record_module
from chita.agent.facts import (
    Observed,
    fabric_node,
    is_way_out,
    known_facts,
    mapped_candidates,
    wire_mtu,
)
from chita.agent.identity import Identity
from chita.agent.record import OwnRecord
from chita.agent.record_memory import MemoryRecords
from chita.cloud.facts import NOTHING, CloudFacts, Fact, Source
from chita.convert.fabric import fabric_node as parsed
from chita.convert.fabric import fabric_node_object
from chita.convert.fields import Field
from chita.dataplane.netlink.fake import FakeLinks
from chita.dataplane.netlink.links import InterfaceAddress, VethEnd
from chita.desired.tunnels import Endpoint
from chita.errors import ApiError, ChitaError, KernelError, NotFoundError
from chita.fabric.nat import Judgement
from chita.model.cluster import ClusterState
from chita.model.location import Location
from chita.model.net import Address, Cidr
from chita.model.node import HostInterface, Nat

IDENTITY = Identity(
    node="node-1", wireguard_public_key="k" * 43 + "=", vtep_mac="02:00:00:00:00:01"
)
HERE = node("node-1", "192.0.2.1", location="aws-x")


def links(**addresses: str) -> FakeLinks:
    """Return devices that are up, each with its addresses (``192.0.2.1/24 ...``)."""
    made = FakeLinks()
    for name, texts in addresses.items():
        device = name.replace("_", "-")
        far = VethEnd(name="far", mac="", namespace=Path("/elsewhere"))
        made.add_veth(VethEnd(name=device, mac=""), far, mtu_bytes=1500)
        made.set_up(made.index(device))
        for text in texts.split():
            address, prefix = text.split("/")
            made.put_address(
                made.index(device), InterfaceAddress(Address.parse(address), int(prefix))
            )
    return made


def published(own: OwnRecord) -> list[str]:
    return [f"{it.device} {it.address}" for it in own.interfaces]


def test_only_ways_out_are_published() -> None:
    """Neither our devices nor the bridges of others: their addresses repeat on every node."""
    own = OwnRecord(
        "node-1",
        lambda _: IDENTITY,
        links(
            eth0="192.0.2.1/24 fe80::1/64 2001:db8::1/64",
            docker0="172.17.0.1/16",
            chita_vxlan="100.64.0.1/32",
            cali123="169.254.1.1/32",
        ),
    )

    assert ["eth0 192.0.2.1", "eth0 2001:db8::1"] == published(own)
    assert "eth0" == own.device(2)
    assert "" == own.device(99)


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        pytest.param("eth0", True, id="ethernet"),
        pytest.param("ens5", True, id="predictable"),
        pytest.param("bond0", True, id="bond"),
        pytest.param("br0", True, id="bridge-of-the-administrator"),
        pytest.param("br-ex", True, id="bridge-of-open-vswitch"),
        pytest.param("br-0123456789ab", False, id="bridge-of-docker"),
        pytest.param("lo", False, id="loopback"),
        pytest.param("lo1", True, id="only-lo-is-loopback"),
        pytest.param("veth12", False, id="veth"),
        pytest.param("cali0", False, id="pod"),
        pytest.param("chita-wg", False, id="ours"),
        pytest.param("flannel.1", False, id="flannel"),
    ],
)
def test_is_way_out(device: str, *, expected: bool) -> None:
    assert expected is is_way_out(device)


def test_a_node_without_an_address_is_refused() -> None:
    with pytest.raises(KernelError, match="no interface"):
        OwnRecord("node-1", lambda _: IDENTITY, links(eth0="fe80::1/64"))


def interface(text: str, device: str = "eth0") -> HostInterface:
    address = Address.parse(text)
    return HostInterface(address=address, subnet=Cidr(4, address.value, 24), device=device)


def test_the_address_the_node_names_comes_first() -> None:
    """Others in the location dial the first; the Node's InternalIP is what is meant."""
    found = [interface("10.9.9.9", "eth1"), interface("192.0.2.1")]

    value = fabric_node(cluster(HERE), IDENTITY, found, 1500)

    assert ["192.0.2.1", "10.9.9.9"] == [str(it.address) for it in value.interfaces]


def test_a_node_the_api_does_not_know_is_alone() -> None:
    """It is in a place of its own, relays nothing and is dialled by nobody."""
    value = fabric_node(ClusterState(), IDENTITY, [interface("192.0.2.1")], 1500)

    assert ("site-node-1", (), 0) == (value.location, value.endpoints, value.gateway_weight)


@pytest.mark.parametrize(
    ("label", "external", "expected"),
    [
        pytest.param(None, "198.51.100.1", 1, id="dialable"),
        pytest.param(None, "", 0, id="behind-nat"),
        pytest.param("0", "198.51.100.1", 0, id="drained"),
        pytest.param("7", "198.51.100.1", 7, id="weighted"),
        pytest.param("many", "198.51.100.1", 0, id="no-number"),
        pytest.param("-1", "198.51.100.1", 0, id="negative"),
        pytest.param("²", "198.51.100.1", 0, id="not-ascii"),
    ],
)
def test_gateway_weight(label: str | None, external: str, expected: int) -> None:
    labels = {} if label is None else {"chita.dev/gateway-weight": label}
    here = msgspec.structs.replace(node("node-1", "192.0.2.1", external=external), labels=labels)

    assert expected == fabric_node(cluster(here), IDENTITY, [], 1500).gateway_weight


@pytest.mark.parametrize(
    ("provider", "stated", "interface_mtu", "expected"),
    [
        pytest.param("", None, 9001, 9001, id="interface"),
        pytest.param("azure://x", None, 1500, 1400, id="azure-drops-more"),
        pytest.param("azure://x", 1300, 1500, 1300, id="location-says-less"),
        pytest.param("", 9000, 1500, 1500, id="location-says-more"),
    ],
)
def test_wire_mtu(provider: str, stated: int | None, interface_mtu: int, expected: int) -> None:
    """The smallest that anyone states."""
    here = msgspec.structs.replace(HERE, provider_id=provider)
    location = Location(name="aws-x", encap=None, wire_mtu_bytes=stated)

    assert expected == wire_mtu(known_facts(here, NOTHING), location, interface_mtu)


def told(provider: str, region: str = "", *, public: str = "", mtu: int = 0) -> CloudFacts:
    """Return what a metadata service said."""
    said = Source.METADATA
    return CloudFacts(
        provider=Fact(provider, said),
        region=Fact(region, said) if region else None,
        public_addresses=Fact((Address.parse(public),), said) if public else None,
        wire_mtu_bytes=Fact(mtu, said) if mtu else None,
    )


@pytest.mark.parametrize(
    ("external", "discovered", "expected"),
    [
        pytest.param("", told("aws", public="203.0.113.9"), (["203.0.113.9"], 1), id="metadata"),
        pytest.param(
            "198.51.100.1", told("aws", public="203.0.113.9"), (["198.51.100.1"], 1), id="node-wins"
        ),
        pytest.param("", told("aws"), ([], 0), id="behind-nat"),
    ],
)
def test_a_public_address_of_the_metadata_makes_a_node_dialable(
    external: str, discovered: CloudFacts, expected: tuple[list[str], int]
) -> None:
    """It relays too, as any node that can be dialled."""
    here = node("node-1", "192.0.2.1", external=external)

    value = fabric_node(cluster(here), IDENTITY, [interface("192.0.2.1")], 1500, discovered)

    assert expected == ([str(it) for it in value.endpoints], value.gateway_weight)


def test_a_node_the_api_does_not_know_is_not_dialled() -> None:
    """Its own word alone does not make it a member."""
    discovered = told("aws", "eu-west-1", public="203.0.113.9")

    value = fabric_node(ClusterState(), IDENTITY, [interface("192.0.2.1")], 1500, discovered)

    assert ("site-node-1", (), 0) == (value.location, value.endpoints, value.gateway_weight)


PUBLIC = Address.parse("203.0.113.7")


@pytest.mark.parametrize(
    ("text", "resolved", "expected"),
    [
        pytest.param("", {}, [], id="none"),
        pytest.param("203.0.113.7:4500", {}, ["203.0.113.7 4500"], id="address-and-port"),
        pytest.param("203.0.113.7", {}, ["203.0.113.7 51820"], id="address"),
        pytest.param("vpn.example.org:4500", {}, [], id="not-resolved-yet"),
        pytest.param(
            "vpn.example.org:4500",
            {"vpn.example.org": (PUBLIC,)},
            ["203.0.113.7 4500"],
            id="resolved",
        ),
        pytest.param("vpn.example.org:x", {"vpn.example.org": (PUBLIC,)}, [], id="malformed"),
    ],
)
def test_where_a_user_says_it_is_dialled(
    text: str, resolved: dict[str, tuple[Address, ...]], expected: list[str]
) -> None:
    """The Node's annotation chita.dev/endpoint."""
    here = msgspec.structs.replace(HERE, endpoint=text)

    found = mapped_candidates(here, 51820, resolved)

    assert expected == [f"{it.address} {it.port}" for it in found]


SEEN = Observed(judgement=Judgement(Nat.ENDPOINT_INDEPENDENT, Endpoint(PUBLIC, 61000)))


@pytest.mark.parametrize(
    ("external", "endpoint", "expected"),
    [
        pytest.param("", "", (Nat.ENDPOINT_INDEPENDENT, ["reflexive"], 0), id="behind-nat"),
        pytest.param("198.51.100.1", "", (Nat.ONE_TO_ONE, [], 1), id="public"),
        pytest.param("192.0.2.1", "", (Nat.NONE, [], 1), id="public-on-the-interface"),
        pytest.param(
            "",
            "198.51.100.2:4500",
            (Nat.ENDPOINT_INDEPENDENT, ["mapped"], 1),
            id="a-user-forwards-a-port",
        ),
    ],
)
def test_what_gateways_saw_counts_for_who_cannot_be_dialled(
    external: str, endpoint: str, expected: tuple[Nat, list[str], int]
) -> None:
    here = msgspec.structs.replace(
        node("node-1", "192.0.2.1", external=external), endpoint=endpoint
    )

    value = fabric_node(cluster(here), IDENTITY, [interface("192.0.2.1")], 1500, observed=SEEN)

    kinds = [it.kind.value for it in value.candidates]
    assert expected == (value.nat, kinds, value.gateway_weight)


def test_nodes_behind_nat_listen_on_ports_of_their_own() -> None:
    """Who can be dialled has the cluster's port, which firewalls are told of."""
    ports = {
        external: fabric_node(
            cluster(node("node-1", "192.0.2.1", external=external)), IDENTITY, [], 1500
        ).wireguard_port
        for external in ("", "198.51.100.1")
    }

    assert 51820 == ports["198.51.100.1"]
    assert 51820 < ports[""] < 52820


REGION = {"topology.kubernetes.io/region": "eu-1"}
BY_FIRMWARE = CloudFacts(provider=Fact("aws", Source.DMI))


@pytest.mark.parametrize(
    ("location", "labels", "discovered", "expected"),
    [
        pytest.param("here", {}, told("aws", "eu-west-1"), "here", id="stated"),
        pytest.param("site-node-1", {}, told("aws", "eu-west-1"), "aws-eu-west-1", id="metadata"),
        pytest.param("site-node-1", {}, told("openstack"), "site-node-1", id="no-region"),
        pytest.param("site-node-1", REGION, told("openstack"), "openstack-eu-1", id="region-label"),
        pytest.param("site-node-1", REGION, BY_FIRMWARE, "site-node-1", id="firmware-alone"),
        pytest.param("site-node-1", {}, NOTHING, "site-node-1", id="nothing"),
        pytest.param(
            "site-node-1",
            {"chita.dev/location": "site-node-1"},
            told("aws", "eu-west-1"),
            "site-node-1",
            id="a-label-that-says-alone",
        ),
    ],
)
def test_location(
    location: str, labels: dict[str, str], discovered: CloudFacts, expected: str
) -> None:
    """The Node's word, else provider and region as the metadata has them, else a place alone."""
    here = msgspec.structs.replace(
        node("node-1", "192.0.2.1", location=location), labels=labels, provider_id=""
    )

    value = fabric_node(cluster(here), IDENTITY, [interface("192.0.2.1")], 1500, discovered)

    assert expected == value.location


@pytest.mark.parametrize(
    ("discovered", "interface_mtu", "expected"),
    [
        pytest.param(told("gcp", mtu=1460), 1500, 1460, id="metadata-says-less"),
        pytest.param(told("gcp", mtu=8896), 1460, 1460, id="metadata-says-more"),
        pytest.param(told("azure"), 1500, 1400, id="azure-says-nothing"),
    ],
)
def test_wire_mtu_of_the_cloud(discovered: CloudFacts, interface_mtu: int, expected: int) -> None:
    known = known_facts(msgspec.structs.replace(HERE, provider_id=""), discovered)

    assert expected == wire_mtu(known, None, interface_mtu)


def test_each_fact_says_how_it_is_known() -> None:
    here = msgspec.structs.replace(
        HERE, provider_id="gce://p/z/i", labels=REGION, external_addresses=()
    )

    known = known_facts(here, told("aws", "eu-west-1", public="203.0.113.9"))

    assert [
        ("gcp", Source.PROVIDER_ID),
        ("eu-1", Source.LABEL),
        ((Address.parse("203.0.113.9"),), Source.METADATA),
        ((Address.parse("192.0.2.1"),), Source.NODE),
    ] == [
        (fact.value, fact.source)
        for fact in (
            known.provider,
            known.region,
            known.public_addresses,
            known.private_addresses,
        )
        if fact is not None
    ]


def test_the_api_gives_back_what_was_published() -> None:
    """Else the record would look changed by others for ever."""
    here = node("node-1", "192.0.2.1", location="aws-x", external="198.51.100.1")
    value = fabric_node(cluster(here), IDENTITY, [interface("192.0.2.1")], 1500)

    assert value == parsed(Field(fabric_node_object(value)))


@asynccontextmanager
async def publishing(
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[tuple[OwnRecord, MemoryRecords]]:
    monkeypatch.setattr(record_module, "RETRY_S", 0.01)
    own, api = OwnRecord("node-1", lambda _: IDENTITY, links(eth0="192.0.2.1/24")), MemoryRecords()
    task = asyncio.create_task(own.publish(api))
    try:
        yield own, api
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_written_when_it_changes_and_not_else(monkeypatch: pytest.MonkeyPatch) -> None:
    async def act() -> None:
        async with publishing(monkeypatch) as (own, api):
            value = own.of(cluster(HERE))
            await until(lambda: api.writes == 1)
            own.of(cluster(HERE, value))
            own.of(cluster(HERE, value))
            await asyncio.sleep(0.01)
            assert 1 == api.writes

            moved = node("node-1", "192.0.2.1", location="gcp-y")
            own.of(cluster(moved, value))
            await until(lambda: api.specs["node-1"]["location"] == "gcp-y")
            assert 2 == api.writes == own.publications

    asyncio.run(act())


def test_what_an_earlier_agent_published_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restart writes nothing that is still true."""

    async def act() -> None:
        async with publishing(monkeypatch) as (own, api):
            value = own.of(cluster(HERE))
            await until(lambda: api.writes == 1)
            earlier = value
            assert earlier is not None
        async with publishing(monkeypatch) as (own, api):
            own.of(cluster(HERE, earlier))
            await asyncio.sleep(0.01)
            assert 0 == api.writes

    asyncio.run(act())


@pytest.mark.parametrize("what", ["deleted", "changed"])
def test_what_others_did_to_it_is_undone(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    async def act() -> None:
        async with publishing(monkeypatch) as (own, api):
            value = own.of(cluster(HERE))
            await until(lambda: api.writes == 1)
            if what == "deleted":
                api.specs.clear()
                own.of(cluster(HERE))
            else:
                api.specs["node-1"]["location"] = "elsewhere"
                own.of(cluster(HERE, msgspec.structs.replace(value, location="elsewhere")))
            await until(lambda: api.writes == 2)
            assert "aws-x" == api.specs["node-1"]["location"]

    asyncio.run(act())


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ApiError("no answer"), id="outage"),
        pytest.param(ApiError("refused", status=403), id="refused"),
        pytest.param(NotFoundError("gone between create and patch"), id="raced-a-deletion"),
    ],
)
def test_what_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch, error: ChitaError) -> None:
    async def act() -> None:
        async with publishing(monkeypatch) as (own, api):
            api.failing = error
            own.of(cluster(HERE))
            await asyncio.sleep(0.03)
            assert 0 == api.writes
            api.failing = None
            await until(lambda: api.writes == 1)

    asyncio.run(act())


def test_an_existing_record_is_patched(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not ours in it stays."""

    async def act() -> None:
        async with publishing(monkeypatch) as (own, api):
            api.specs["node-1"] = {"location": "old", "theirs": 1}
            own.of(cluster(HERE))
            await until(lambda: api.writes == 1)
            assert (1, "aws-x") == (api.specs["node-1"]["theirs"], api.specs["node-1"]["location"])

    asyncio.run(act())
