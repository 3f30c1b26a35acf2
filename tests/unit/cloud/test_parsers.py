"""Recorded answers of each provider's metadata service to facts, and answers that are none."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chita.cloud import aws, azure, dmi, gcp, openstack
from chita.cloud.facts import NOTHING, CloudFacts, Fact, Source, combined, public_fact

PORTAL = b"<!DOCTYPE html><html><body>Please log in to the hotel's network</body></html>"

AWS = {
    "placement/region": "eu-west-1",
    "placement/availability-zone": "eu-west-1b",
    "local-ipv4": "10.0.0.11",
    "public-ipv4": "203.0.113.11",
    "mac": "02:29:96:8f:6a:2d",
    "network/interfaces/macs/02:29:96:8f:6a:2d/vpc-id": "vpc-0e9e1b2f",
}

GCP = {
    "id": 7321,
    "hostname": "gcp-1.europe-west4-a.c.shop-prod.internal",
    "zone": "projects/12345/zones/europe-west4-a",
    "networkInterfaces": [
        {
            "accessConfigs": [{"externalIp": "203.0.113.21", "type": "ONE_TO_ONE_NAT"}],
            "ip": "10.164.0.11",
            "mac": "42:01:0a:a4:00:0b",
            "mtu": 1460,
            "network": "projects/12345/networks/default",
        }
    ],
}

AZURE: dict[str, Any] = {
    "compute": {
        "azEnvironment": "AzurePublicCloud",
        "location": "westeurope",
        "name": "azure-1",
        "zone": "2",
    },
    "network": {
        "interface": [
            {
                "ipv4": {
                    "ipAddress": [{"privateIpAddress": "10.3.0.11", "publicIpAddress": ""}],
                    "subnet": [{"address": "10.3.0.0", "prefix": "24"}],
                },
                "ipv6": {"ipAddress": []},
                "macAddress": "000D3AF806EC",
            }
        ]
    },
}
BALANCER = {
    "loadbalancer": {
        "publicIpAddresses": [
            {"frontendIpAddress": "203.0.113.99", "privateIpAddress": "10.3.0.99"},
            {"frontendIpAddress": "203.0.113.31", "privateIpAddress": "10.3.0.11"},
        ],
        "inboundRules": [],
        "outboundRules": [],
    }
}

META_DATA = {
    "uuid": "7f1c2f9e-0d55-4f6c-8f0a-000000000001",
    "availability_zone": "rack-1",
    "name": "openstack-1",
}
NETWORK_DATA = {
    "links": [{"id": "tap1", "type": "ovs", "mtu": 1450, "vif_id": "x"}],
    "networks": [
        {
            "id": "network0",
            "type": "ipv4",
            "ip_address": "192.168.0.11",
            "network_id": "4e5ae3b0-1e0a-4b8f-9b3c-2f6f8d3f0000",
        }
    ],
    "services": [],
}


def plain(facts: CloudFacts) -> dict[str, Any]:
    """Return what is known, as texts and numbers; every source must be one and the same."""
    known = {name: getattr(facts, name) for name in CloudFacts.__struct_fields__}
    return {
        name: [str(item) for item in fact.value] if isinstance(fact.value, tuple) else fact.value
        for name, fact in known.items()
        if fact is not None
    }


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def changed(document: Mapping[str, Any], **changes: Any) -> bytes:
    return as_json({**document, **changes})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param(
            {},
            {
                "provider": "aws",
                "region": "eu-west-1",
                "zone": "eu-west-1b",
                "network_id": "vpc-0e9e1b2f",
                "private_addresses": ["10.0.0.11"],
                "public_addresses": ["203.0.113.11"],
            },
            id="whole",
        ),
        pytest.param(
            {"public-ipv4": ""},
            {"provider": "aws", "private_addresses": ["10.0.0.11"], "public_addresses": None},
            id="behind-nat",
        ),
        pytest.param({"placement/region": "us-gov-west-1"}, {"region": "us-gov-west-1"}, id="gov"),
        pytest.param(
            {"placement/availability-zone": "us-west-2-lax-1a", "placement/region": "us-west-2"},
            {"region": "us-west-2", "zone": "us-west-2-lax-1a"},
            id="local-zone",
        ),
        pytest.param({"placement/region": ""}, {"provider": None}, id="no-region"),
        pytest.param({"placement/region": PORTAL.decode()}, {"provider": None}, id="portal"),
        pytest.param({"placement/region": "OK"}, {"provider": None}, id="a-word"),
        pytest.param({"public-ipv4": "nowhere"}, {"public_addresses": None}, id="no-address"),
        pytest.param({"mac": "../../secret"}, {"network_id": None}, id="mac-is-a-path"),
    ],
)
def test_aws(changes: dict[str, str], expected: dict[str, Any]) -> None:
    facts = plain(aws.facts({**AWS, **changes}))

    assert expected == {name: facts.get(name) for name in expected}


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        pytest.param("AQAEAHXD4z2mPvA5bq0kZMZ1b0Q8tW==", True, id="token"),
        pytest.param("", False, id="none"),
        pytest.param(PORTAL.decode(), False, id="portal"),
        pytest.param("AQAEAHXD4z2mPvA5\r\nX: y", False, id="header-injection"),
    ],
)
def test_aws_token(token: str, *, expected: bool) -> None:
    """It is sent back as a header."""
    assert expected is aws.is_token(token)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param(
            as_json(GCP),
            {
                "provider": "gcp",
                "region": "europe-west4",
                "zone": "europe-west4-a",
                "network_id": "default",
                "private_addresses": ["10.164.0.11"],
                "public_addresses": ["203.0.113.21"],
                "wire_mtu_bytes": 1460,
            },
            id="whole",
        ),
        pytest.param(
            changed(GCP, networkInterfaces=[]),
            {"provider": "gcp", "region": "europe-west4", "zone": "europe-west4-a"},
            id="no-interface",
        ),
        pytest.param(
            changed(GCP, networkInterfaces=[{"ip": "10.164.0.12", "accessConfigs": [{}]}]),
            {
                "provider": "gcp",
                "region": "europe-west4",
                "zone": "europe-west4-a",
                "private_addresses": ["10.164.0.12"],
            },
            id="behind-nat",
        ),
        pytest.param(changed(GCP, zone="europe-west4-a"), {}, id="zone-without-project"),
        pytest.param(changed(GCP, networkInterfaces=7), {}, id="wrong-type"),
        pytest.param(PORTAL, {}, id="portal"),
        pytest.param(b"", {}, id="empty"),
        pytest.param(b"[" * 200_000, {}, id="deep"),
    ],
)
def test_gcp(document: bytes, expected: dict[str, Any]) -> None:
    assert expected == plain(gcp.facts(document))


AZURE_FACTS = {
    "provider": "azure",
    "region": "westeurope",
    "zone": "westeurope-2",
    "private_addresses": ["10.3.0.11"],
}


@pytest.mark.parametrize(
    ("instance", "balancer", "expected"),
    [
        pytest.param(
            as_json(AZURE),
            as_json(BALANCER),
            {**AZURE_FACTS, "public_addresses": ["203.0.113.31"]},
            id="standard-address",
        ),
        pytest.param(as_json(AZURE), b"", AZURE_FACTS, id="no-balancer"),
        pytest.param(as_json(AZURE), PORTAL, AZURE_FACTS, id="balancer-is-nonsense"),
        pytest.param(
            as_json(AZURE).replace(b'"publicIpAddress": ""', b'"publicIpAddress": "203.0.113.30"'),
            b"",
            {**AZURE_FACTS, "public_addresses": ["203.0.113.30"]},
            id="basic-address",
        ),
        pytest.param(
            changed(AZURE, compute={**AZURE["compute"], "zone": ""}),
            b"",
            {k: v for k, v in AZURE_FACTS.items() if k != "zone"},
            id="without-zones",
        ),
        pytest.param(changed(AZURE, compute={"location": "westeurope"}), b"", {}, id="not-azure"),
        pytest.param(PORTAL, PORTAL, {}, id="portal"),
    ],
)
def test_azure(instance: bytes, balancer: bytes, expected: dict[str, Any]) -> None:
    """An address of a balancer counts where it leads to us, not to a neighbour behind it."""
    assert expected == plain(azure.facts(instance, balancer))


OPENSTACK_FACTS = {
    "provider": "openstack",
    "zone": "rack-1",
    "network_id": "4e5ae3b0-1e0a-4b8f-9b3c-2f6f8d3f0000",
    "private_addresses": ["192.168.0.11"],
    "wire_mtu_bytes": 1450,
}


@pytest.mark.parametrize(
    ("meta_data", "network_data", "public", "expected"),
    [
        pytest.param(
            as_json(META_DATA),
            as_json(NETWORK_DATA),
            "203.0.113.41",
            {**OPENSTACK_FACTS, "public_addresses": ["203.0.113.41"]},
            id="floating-address",
        ),
        pytest.param(
            as_json(META_DATA),
            as_json(NETWORK_DATA),
            "172.24.4.7",
            OPENSTACK_FACTS,
            id="floating-address-of-a-private-range",
        ),
        pytest.param(
            as_json(META_DATA),
            PORTAL,
            "",
            {"provider": "openstack", "zone": "rack-1"},
            id="network-is-nonsense",
        ),
        pytest.param(
            as_json(META_DATA),
            as_json({"links": [{"mtu": None}, {"mtu": 60}], "networks": [{"type": "ipv4_dhcp"}]}),
            "",
            {"provider": "openstack", "zone": "rack-1"},
            id="mtu-unknown-or-absurd",
        ),
        pytest.param(changed(META_DATA, uuid="portal"), b"", "", {}, id="no-uuid"),
        pytest.param(b"{}", as_json(NETWORK_DATA), "203.0.113.41", {}, id="network-alone"),
        pytest.param(PORTAL, PORTAL, PORTAL.decode(), {}, id="portal"),
    ],
)
def test_openstack(
    meta_data: bytes, network_data: bytes, public: str, expected: dict[str, Any]
) -> None:
    facts = openstack.facts(meta_data, network_data, public, source=Source.CONFIG_DRIVE)

    assert expected == plain(facts)
    assert facts.provider is None or facts.provider.source is Source.CONFIG_DRIVE


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        pytest.param({"sys_vendor": "Amazon EC2"}, "aws", id="aws"),
        pytest.param(
            {"sys_vendor": "Google", "product_name": "Google Compute Engine"}, "gcp", id="gcp"
        ),
        pytest.param({"sys_vendor": "Google", "product_name": "Pixelbook"}, None, id="laptop"),
        pytest.param(
            {
                "sys_vendor": "Microsoft Corporation",
                "chassis_asset_tag": "7783-7084-3265-9085-8269-3286-77",
            },
            "azure",
            id="azure",
        ),
        pytest.param({"sys_vendor": "Microsoft Corporation"}, None, id="hyper-v-at-home"),
        pytest.param({"sys_vendor": "OpenStack Foundation"}, "openstack", id="openstack"),
        pytest.param({"product_name": "OpenStack Nova"}, "openstack", id="red-hat"),
        pytest.param({"sys_vendor": "Dell Inc."}, None, id="bare-metal"),
        pytest.param({}, None, id="unreadable"),
    ],
)
def test_dmi(tmp_path: Path, texts: dict[str, str], expected: str | None) -> None:
    for name, text in texts.items():
        (tmp_path / name).write_text(f"{text}\n")

    provider = dmi.facts(dmi.read(tmp_path)).provider

    assert expected == (provider.value if provider else None)


@given(st.binary(), st.binary())
def test_no_answer_breaks_a_parser(one: bytes, other: bytes) -> None:
    parsers: list[Callable[[], CloudFacts]] = [
        lambda: gcp.facts(one),
        lambda: azure.facts(one, other),
        lambda: azure.facts(as_json(AZURE), other),
        lambda: openstack.facts(one, other, source=Source.METADATA),
        lambda: openstack.facts(as_json(META_DATA), other, source=Source.METADATA),
        lambda: aws.facts(dict.fromkeys(AWS, one.decode("latin-1"))),
    ]
    assert all(isinstance(parse(), CloudFacts) for parse in parsers)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("203.0.113.1", True, id="public"),
        pytest.param("198.18.1.11", True, id="the-lab's-internet"),
        pytest.param("2001:db8::1", True, id="ipv6"),
        pytest.param("10.0.0.1", False, id="private"),
        pytest.param("100.64.0.1", False, id="carrier-nat"),
        pytest.param("127.0.0.1", False, id="loopback"),
        pytest.param("169.254.169.254", False, id="the-service-itself"),
        pytest.param("224.0.0.1", False, id="multicast"),
        pytest.param("0.0.0.0", False, id="unspecified"),
        pytest.param("fd00::1", False, id="ula"),
        pytest.param("fe80::1", False, id="link-local"),
    ],
)
def test_what_the_internet_can_dial(text: str, *, expected: bool) -> None:
    assert expected is (public_fact([text], Source.METADATA) is not None)


def test_the_first_that_knows_is_believed() -> None:
    label = CloudFacts(region=Fact("eu-1", Source.LABEL))
    metadata = CloudFacts(
        provider=Fact("aws", Source.METADATA), region=Fact("eu-west-1", Source.METADATA)
    )

    both = combined(label, NOTHING, metadata)

    assert ("aws-eu-1", Source.LABEL) == (both.location, both.region and both.region.source)
    assert "" == label.location == NOTHING.location
