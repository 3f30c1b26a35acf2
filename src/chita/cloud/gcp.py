"""GCP: the metadata server's description of the instance to facts.

Source: Compute Engine documentation, "View and query VM metadata" and "Predefined metadata keys".
"""

from __future__ import annotations

import re

import msgspec

from chita.cloud.facts import (
    NOTHING,
    CloudFacts,
    Fact,
    Provider,
    Source,
    address_fact,
    decoded,
    mtu_fact,
    name_fact,
    public_fact,
)

PATH = "/computeMetadata/v1/instance/?recursive=true"
HEADERS = {"Metadata-Flavor": "Google"}
"""Asked with, and answered with: an answer without it is somebody else's."""

_ZONE = re.compile(r"projects/[^/]+/zones/([a-z][a-z0-9-]{0,60})-([a-z])")


class _AccessConfig(msgspec.Struct, frozen=True, rename="camel"):
    external_ip: str = ""


class _Interface(msgspec.Struct, frozen=True, rename="camel"):
    ip: str = ""
    mtu: int | None = None
    network: str = ""
    access_configs: tuple[_AccessConfig, ...] = ()


class _Instance(msgspec.Struct, frozen=True, rename="camel"):
    zone: str
    network_interfaces: tuple[_Interface, ...] = ()


def facts(document: bytes) -> CloudFacts:
    """Return what the answer to `PATH` says; nothing when it is none.

    The first interface is the one with the default route; its external address is a 1:1 NAT.
    """
    instance = decoded(document, _Instance)
    zone = _ZONE.fullmatch(instance.zone) if instance else None
    if instance is None or zone is None:
        return NOTHING
    first = instance.network_interfaces[0] if instance.network_interfaces else _Interface()
    return CloudFacts(
        provider=Fact(Provider.GCP, Source.METADATA),
        region=Fact(zone[1], Source.METADATA),
        zone=Fact(f"{zone[1]}-{zone[2]}", Source.METADATA),
        network_id=name_fact(first.network.rpartition("/")[2], Source.METADATA),
        private_addresses=address_fact([first.ip], Source.METADATA),
        public_addresses=public_fact(
            [config.external_ip for config in first.access_configs], Source.METADATA
        ),
        wire_mtu_bytes=mtu_fact(first.mtu, Source.METADATA),
    )
