"""OpenStack: ``meta_data.json``, ``network_data.json`` and the EC2-style address to facts.

Source: Nova user guide, "Metadata". The same two documents stand on the config drive. None of them
has the region, and the floating address stands only in the EC2-style answer.
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

META_DATA_PATH = "/openstack/latest/meta_data.json"
NETWORK_DATA_PATH = "/openstack/latest/network_data.json"
PUBLIC_ADDRESS_PATH = "/latest/meta-data/public-ipv4"

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class _MetaData(msgspec.Struct, frozen=True):
    uuid: str
    availability_zone: str | None = None


class _Link(msgspec.Struct, frozen=True):
    mtu: int | None = None


class _Network(msgspec.Struct, frozen=True):
    ip_address: str = ""
    """Missing where the node asks DHCP for it."""
    network_id: str = ""


class _NetworkData(msgspec.Struct, frozen=True):
    links: tuple[_Link, ...] = ()
    networks: tuple[_Network, ...] = ()


def facts(
    meta_data: bytes, network_data: bytes = b"", public_address: str = "", *, source: Source
) -> CloudFacts:
    """Return what the documents say; nothing unless *meta_data* names an instance.

    A document of the network that cannot be read leaves the facts of the other.
    """
    instance = decoded(meta_data, _MetaData)
    if instance is None or not _UUID.fullmatch(instance.uuid):
        return NOTHING
    network = decoded(network_data, _NetworkData) or _NetworkData()
    mtus = [link.mtu for link in network.links if link.mtu is not None]
    first = next((n.network_id for n in network.networks if n.network_id), "")
    return CloudFacts(
        provider=Fact(Provider.OPENSTACK, source),
        zone=name_fact(instance.availability_zone or "", source),
        network_id=name_fact(first, source),
        private_addresses=address_fact([n.ip_address for n in network.networks], source),
        public_addresses=public_fact([public_address], source),
        wire_mtu_bytes=mtu_fact(min(mtus, default=None), source),
    )
