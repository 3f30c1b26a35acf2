"""What the clouds' metadata services say, read back by the very parsers of the agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from chita.cloud import aws, azure, gcp, openstack
from chita.cloud.facts import CloudFacts, Source
from chita.lab.metadata import CloudMetadata, Instance, Reply, Service, metadata_services
from chita.lab.topology import topology
from chita.lab.underlay import Provider
from chita.lab.world import DEFAULT_WORLD, read_world
from lab_worlds import node, underlay, world

NODE = "10.0.0.11"


def service(provider: Provider, **changes: Any) -> Service:
    """Return the service of a cloud with two nodes, the first with a public address."""
    facts: dict[str, Any] = {
        "name": "n1",
        "mac": "02:00:00:00:00:01",
        "region": {"aws": "eu-west-1", "gcp": "europe-west4"}.get(provider, "westeurope"),
        "zone": "",
        "network": "net",
        "mtu_bytes": 1450,
        "private": (NODE, "fd00:a::11"),
        "public": ("198.18.1.11",),
    }
    first = Instance(**{**facts, **changes})
    second = Instance(**{**facts, "name": "n2", "private": ("10.0.0.12",), "public": ()})
    return Service(
        CloudMetadata(namespace="/nowhere", provider=provider, instances=(first, second))
    )


def ask(
    of: Service, path: str, headers: Mapping[str, str] | None = None, *, by: str = NODE
) -> Reply:
    return of.answer(by, "GET", path, headers or {})


def token(of: Service, *, by: str = NODE, ttl: str = "60") -> Reply:
    return of.answer(by, "PUT", aws.TOKEN_PATH, {aws.TOKEN_TTL_HEADER: ttl})


def aws_facts(of: Service) -> CloudFacts:
    headers = {aws.TOKEN_HEADER: token(of).body}
    keys = [*aws.KEYS, aws.vpc_key("02:00:00:00:00:01") or ""]
    return aws.facts({key: ask(of, aws.ROOT + key, headers).body for key in keys})


def gcp_facts(of: Service) -> CloudFacts:
    return gcp.facts(ask(of, gcp.PATH, gcp.HEADERS).body.encode())


def azure_facts(of: Service) -> CloudFacts:
    return azure.facts(
        ask(of, azure.INSTANCE_PATH, azure.HEADERS).body.encode(),
        ask(of, azure.LOAD_BALANCER_PATH, azure.HEADERS).body.encode(),
    )


def openstack_facts(of: Service) -> CloudFacts:
    return openstack.facts(
        ask(of, openstack.META_DATA_PATH).body.encode(),
        ask(of, openstack.NETWORK_DATA_PATH).body.encode(),
        ask(of, openstack.PUBLIC_ADDRESS_PATH).body,
        source=Source.METADATA,
    )


READERS = {
    Provider.AWS: aws_facts,
    Provider.GCP: gcp_facts,
    Provider.AZURE: azure_facts,
    Provider.OPENSTACK: openstack_facts,
}


@pytest.mark.parametrize(
    ("provider", "location", "zone", "mtu"),
    [
        pytest.param(Provider.AWS, "aws-eu-west-1", "eu-west-1a", None, id="aws"),
        pytest.param(Provider.GCP, "gcp-europe-west4", "europe-west4-a", 1450, id="gcp"),
        pytest.param(Provider.AZURE, "azure-westeurope", "westeurope-1", None, id="azure"),
        pytest.param(Provider.OPENSTACK, "", "nova", 1450, id="openstack"),
    ],
)
def test_the_agent_reads_what_is_served(
    provider: Provider, location: str, zone: str, mtu: int | None
) -> None:
    """Azure's never tells of the 1400 bytes that pass."""
    facts = READERS[provider](service(provider))

    assert facts.provider
    assert facts.zone
    assert facts.public_addresses
    assert facts.private_addresses
    assert (provider, location, zone) == (facts.provider.value, facts.location, facts.zone.value)
    assert ["198.18.1.11"] == [str(address) for address in facts.public_addresses.value]
    assert NODE == str(facts.private_addresses.value[0])
    assert mtu == (facts.wire_mtu_bytes.value if facts.wire_mtu_bytes else None)


@pytest.mark.parametrize("provider", READERS)
def test_a_node_behind_the_nat_has_no_public_address(provider: Provider) -> None:
    facts = READERS[provider](service(provider, public=()))

    assert facts.provider
    assert facts.public_addresses is None


@pytest.mark.parametrize("provider", READERS)
def test_strangers_are_told_nothing(provider: Provider) -> None:
    of = service(provider)
    paths = [gcp.PATH, azure.INSTANCE_PATH, openstack.META_DATA_PATH, aws.ROOT + "mac"]

    answers = [ask(of, path, {**gcp.HEADERS, **azure.HEADERS}, by="10.0.0.99") for path in paths]

    assert {403} == {answer.status for answer in (*answers, token(of, by="10.0.0.99"))}


def test_headers_and_tokens_are_asked_for() -> None:
    """A token is for whom it was given to, and its life is stated."""
    of = service(Provider.AWS)
    path, held = aws.ROOT + "mac", token(of).body

    assert 401 == ask(of, path).status
    assert 401 == ask(of, path, {aws.TOKEN_HEADER: "made-up"}).status
    assert 401 == ask(of, path, {aws.TOKEN_HEADER: held}, by="10.0.0.12").status
    assert 200 == ask(of, path, {aws.TOKEN_HEADER: held}).status
    assert 404 == ask(of, aws.ROOT + "nothing", {aws.TOKEN_HEADER: held}).status
    assert {400} == {token(of, ttl=ttl).status for ttl in ("", "0", "21601", "x")}
    assert 403 == ask(service(Provider.GCP), gcp.PATH).status
    assert 400 == ask(service(Provider.AZURE), azure.INSTANCE_PATH).status
    assert 404 == ask(service(Provider.OPENSTACK), "/").status


def test_which_clouds_have_a_service() -> None:
    """Those whose provider has one, unless it is switched off; zones come from the labels."""
    planned = world(
        underlay("aws", provider="aws"),
        underlay("gcp", provider="gcp", metadata=False),
        underlay("branch", provider="branch"),
        node("aws-1", "aws", public=["198.18.1.11"]),
        node("gcp-1", "gcp"),
        node("branch-1", "branch"),
    )
    clouds = topology(planned)

    (only,) = metadata_services(planned, clouds)

    assert (Provider.AWS, "/run/netns/chita-aws") == (only.provider, only.namespace)
    assert [("aws-1", "r", ("198.18.1.11",))] == [
        (it.name, it.region, it.public) for it in only.instances
    ]
    held = {a.namespace for a in clouds.addresses if str(a.address) == "169.254.169.254"}
    assert {"chita-aws"} == held


def test_the_default_world_is_told_its_own_labels() -> None:
    planned = read_world([DEFAULT_WORLD])
    services = metadata_services(planned, topology(planned))

    known = {it.name: (it.region, it.zone) for of in services for it in of.instances}

    assert ("eu-west-1", "eu-west-1b") == known["aws-2"]
    assert ("westeurope", "westeurope-2") == known["azure-2"]
    assert ("frankfurt", "rack-1") == known["openstack-1"]
